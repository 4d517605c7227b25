"""A model folder as a repository of the Hugging Face hub, in one commit.

Source: Wolf et al. 2020, Transformers, section 5 (a community model hub).
https://aclanthology.org/2020.emnlp-demos.6
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nsbench.benchmarks import hub

TAG = "nsbench"
"""Mark on the cards of our models; only such a repository is written over."""


@dataclass(frozen=True)
class Destination:
    """A repository that may be written.

    Attributes:
        name: ``owner/name``.
        private: Whether only its owner sees it.
    """

    name: str
    private: bool


def prepare(name: str) -> Destination:
    """Make the repository, private, unless it is there; tells the rights before anything is made.

    Raises:
        ValueError: If it is no such name, the hub cannot be asked or refuses, or the repository
            holds something that is not one of our models.
    """
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise ValueError(f"--push {name}: a repository is called OWNER/NAME")
    if hub.offline():
        raise ValueError(f"--push needs the hub, and {hub.why_off()}")
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.address())
    with _said(name):
        api.create_repo(name, private=True, exist_ok=True)
        with suppress(TypeError):  # older versions cannot ask; the upload will tell
            api.auth_check(name, write=True)
        info = api.model_info(name)
        files = {file.rfilename for file in info.siblings or ()} - {".gitattributes"}
        if files and not _ours(name, files):
            raise ValueError(
                f"--push {name}: the repository holds another thing already "
                f"({', '.join(sorted(files)[:3])}): name a new one"
            )
    return Destination(name, bool(info.private))


def _ours(name: str, files: set[str]) -> bool:
    from huggingface_hub import hf_hub_download, metadata_load

    if "README.md" not in files:
        return False
    card = metadata_load(hf_hub_download(name, "README.md", endpoint=hub.address()))
    return TAG in ((card or {}).get("tags") or ())


def push(folder: Path, to: Destination, message: str) -> str:
    """Upload a folder as one commit; afterwards the repository holds exactly its files.

    Returns:
        The commit's address.

    Raises:
        ValueError: If the hub refuses it or goes away; says how to upload the folder again.
    """
    from huggingface_hub import HfApi

    with _said(to.name, f" {folder} is written; to upload it: hf upload {to.name} {folder}"):
        made = HfApi(endpoint=hub.address()).upload_folder(
            repo_id=to.name, folder_path=folder, commit_message=message, delete_patterns=["*"]
        )
    return str(made.commit_url)


@contextmanager
def _said(name: str, rest: str = "") -> Iterator[None]:
    """Return the objection of the hub, in a sentence with what to do."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        owner = name.partition("/")[0]
        if status == 401:
            told = f"the hub {hub.address()} does not know you: hf auth login, or set HF_TOKEN."
        elif status in (403, 404):
            told = f"the token you use may not write to {owner!r} on {hub.address()}."
        else:
            told = f"the hub {hub.address()} refuses it: {f'{error}'.strip().splitlines()[0]}"
        raise ValueError(f"--push {name}: {told}{rest}") from None
    except (OSError, RuntimeError) as error:
        told = f"{error}".strip().splitlines()[0]
        raise ValueError(f"--push {name}: the hub {hub.address()} fails: {told}.{rest}") from None
