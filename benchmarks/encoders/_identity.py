"""The identity of a model: a hash over everything in its folder that could decide an embedding.

Every file counts unless it provably cannot matter: cards, licences, pictures, code (which is never
run), states of optimizers, and weights in formats that are never read. Cells, guides, mining and
evaluation all name a model by this hash.
"""

import hashlib
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nsbench.benchmarks.encoders import _folder, _sources
from nsbench.benchmarks.encoders._settings import longest, read_object
from nsbench.benchmarks.encoders._sources import SourceError
from nsbench.benchmarks.files import sha256_of
from nsbench.benchmarks.keys import canonical_json
from nsbench.samplers._cache import cached

_IRRELEVANT = (
    "*.md", "license*", "licence*", "notice*", ".git*", ".ds_store", "*.png", "*.jpg", "*.jpeg",
    "*.svg", "*.pdf", "*.py", "*.lock", "*.log", "events.out.tfevents.*",
    "pytorch_model*.bin", "pytorch_model*.bin.index.json", "tf_model*.h5", "flax_model*.msgpack",
    "rust_model.ot", "*.onnx", "*.onnx_data", "openvino_*model*.xml", "openvino_*model*.bin",
    "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state*.pth",
    "training_args.bin", "trainer_state.json",
)  # fmt: skip
"""Names, in lower case, of files that no loader reads here."""
_FOLDERS = (".git", ".cache", "__pycache__")
_State = tuple[tuple[str, tuple[int, ...]], ...]


def identity(folder: Path) -> str:
    """SHA-256 over the files of a model folder, sub-folders and the base of an adapter included.

    Of a folder that holds one plain model the hash is that of earlier versions, over the files
    next to ``config.json``. All other files add to it.

    Raises:
        SourceError: If the base of an adapter cannot be had here.
    """
    state = _state_of(folder)
    return _identity(folder, ()) if state is None else _known(folder, state)


@cached(256)
def _known(folder: Path, state: _State) -> str:
    """Identity of a folder, computed again when a file of it is another."""
    return _identity(folder, ())


def _state_of(folder: Path) -> _State | None:
    """Return path, size, times and place of every file; None if an adapter's base counts, too."""
    found: list[tuple[str, tuple[int, ...]]] = []
    for place, names in _walk(folder):
        if "adapter_config.json" in names:
            return None
        for path in (Path(place, name) for name in names):
            found.append((str(path), _facts(path.stat()) if path.is_file() else ()))
    return tuple(sorted(found))


def _identity(folder: Path, seen: tuple[Path, ...]) -> str:
    if folder.resolve() in seen:
        raise SourceError(f"{folder} is an adapter whose base is itself")
    digest, rest = hashlib.sha256(), []
    for name, path in sorted(_files(folder), key=lambda pair: pair[0]):
        plain = "/" not in name and (
            name.endswith((".safetensors", ".json")) or name.startswith("vocab")
        )
        if plain:
            digest.update(f"{name}:{digest_of(path)};".encode())
        elif not _says_nothing(name, path):
            rest.append([name, digest_of(path)])
    for path in sorted(folder.rglob("adapter_config.json")):
        base = read_object(path).get("base_model_name_or_path")
        rest.append(["base", _base(str(base), folder, (*seen, folder.resolve()))])
    further = [*rest, *_read_since(folder)]
    if further:
        digest.update(canonical_json(further).encode())
    return digest.hexdigest()


def _base(name: str, folder: Path, seen: tuple[Path, ...]) -> str:
    try:
        base = _sources.locate(name)
    except SourceError as error:
        raise SourceError(f"{folder} is an adapter of {name}: {error}") from None
    return _identity(base, seen)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name below the folder and path of every file that counts; links are followed."""
    for place, names in _walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not any(fnmatchcase(name.lower(), p) for p in _IRRELEVANT):
                yield path.relative_to(folder).as_posix(), path


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Path and file names of a folder and of those below it, each once; links are followed."""
    visited: set[str] = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:
            inner.clear()
            continue
        visited.add(real)
        inner[:] = [name for name in inner if name not in _FOLDERS]
        yield place, names


def _says_nothing(name: str, path: Path) -> bool:
    """True for settings of modules that are what a folder without them means.

    These are a Pooling module that takes the mean, and a Normalize module.
    """
    if not name.endswith(("_Pooling/config.json", "_Normalize/config.json")):
        return False
    try:
        if name.count("/") != 1 or name.endswith("_Normalize/config.json"):
            return name.count("/") == 1 and _folder.is_default(path)
        stated = read_object(path)
        known = {
            "embedding_dimension",
            "word_embedding_dimension",
            "include_prompt",
            "pooling_mode",
        }
        return (
            _folder.pooling_of(path.parent) == "mean"
            and stated.get("include_prompt", True) is True
            and set(stated) <= known | set(_folder.POOLED_BY)
        )
    except SourceError:
        return False


def _read_since(folder: Path) -> list[list[Any]]:
    """Settings that earlier versions passed over although the files that state them counted."""
    modules = folder / "modules.json"
    try:
        body = _folder.modules_of(folder)[0][1] if modules.is_file() else folder
        length, config = longest(body), read_object(body / "config.json")
        settings = read_object(body / "sentence_bert_config.json")
    except SourceError:
        return []  # refused where it is loaded
    found: list[list[Any]] = []
    before = _whole(settings.get("max_seq_length"), 512)
    most = min(_whole(config.get("max_position_embeddings"), 512), 512)
    if min(length or 512, most) != min(before, most):
        found.append(["max_length", length])
    if settings.get("do_lower_case"):
        found.append(["do_lower_case", True])
    if config.get("is_decoder"):
        found.append(["is_decoder", True])
    return found


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and value else otherwise


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is read once as long as its size and times stay."""
    return _hashed(path, *_facts(path.stat()))


def _facts(state: os.stat_result) -> tuple[int, int, int, int]:
    """Size, times and place on the disk of a file; one that was written again has others."""
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


@cached(4096)
def _hashed(path: Path, *state: int) -> str:
    """SHA-256 of a file, read again when its size, times or place on the disk are others."""
    return sha256_of(path)
