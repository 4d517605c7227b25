"""Arrays kept on disk by what they were made from, never by a name, and shared by all processes.

A key is a hash over everything that decides the answer. Each entry is one safetensors file with a
SHA-256 of its key and its numbers: one that is damaged, or lies under the name of another, is made
again. It is made once: the first process claims it, the others wait. A cache that cannot be written
costs time, never a result.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.records import claims

Array = NDArray[Any]
Arrays = dict[str, Array]

LIMIT = 20_000_000_000
"""Bytes that a cache may hold; beyond them what was not used for longest goes."""
OFF = "none"
_IN_USE = 3600.0
_LOOK = 0.2
_log = logging.getLogger("nsbench.cell")


def default_folder() -> Path | None:
    """Return the folder that cells share: ``$NSBENCH_CACHE``, or ``nsbench`` in the user's cache.

    ``None`` if the variable says ``none``.
    """
    given = os.environ.get("NSBENCH_CACHE", "")
    if given:
        return folder_of(given)
    home = os.environ.get("XDG_CACHE_HOME", "") or "~/.cache"
    return Path(home).expanduser() / "nsbench"


def folder_of(text: str | None) -> Path | None:
    """A folder as a user says it; ``none`` is none, and nothing said is `default_folder`."""
    if text is None:
        return default_folder()
    return None if text == OFF else Path(text).expanduser().absolute()


class ContentCache:
    """Arrays by content.

    Args:
        folder: Where they lie; ``None`` keeps nothing.
        worth: Seconds that making an entry must take for it to be kept.

    Attributes:
        found: Entries that were there.
        made: Entries that were made.
    """

    def __init__(self, folder: Path | None, *, worth: float = 0.0) -> None:
        self.folder, self._worth = folder, worth
        self.found = self.made = 0

    def arrays(self, made_from: Any, make: Callable[[], Arrays]) -> Arrays:
        """Return what ``make()`` gives, or gave before to any process for the same plain data."""
        if self.folder is None:
            self.made += 1
            return make()
        path = self.folder / f"{_key(made_from)}.safetensors"
        kept = _read(path)
        if kept is None:
            with _alone(path):
                kept = _read(path, warn=False)
                if kept is None:
                    return self._new(path, make)
        self.found += 1
        return kept

    def array(
        self, made_from: Any, make: Callable[[], Array], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """The same for one array of float32."""

        def value() -> Arrays:
            return {"value": np.ascontiguousarray(make(), dtype=np.float32)}

        out: NDArray[np.float32] = self.arrays([made_from, list(shape)], value)["value"]
        return out

    def _new(self, path: Path, make: Callable[[], Arrays]) -> Arrays:
        began = time.monotonic()
        made = make()
        self.made += 1
        if time.monotonic() - began < self._worth:
            return made
        from safetensors.numpy import save

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, save(made, {"digest": _digest(path.stem, made)}))
            trim(path.parent, LIMIT)
        except OSError as error:
            _log.warning("not cached: %s", error)
        return made


NOTHING = ContentCache(None)
"""A cache that keeps nothing."""


def entries(folder: Path) -> list[tuple[Path, int, float]]:
    """File, bytes and time of the last use of every entry, the least recently used first."""
    out = []
    for path in folder.glob("*.safetensors"):
        with suppress(OSError):
            stat = path.lstat()
            out.append((path, stat.st_size, stat.st_mtime))
    return sorted(out, key=lambda entry: (entry[2], entry[0].name))


def trim(folder: Path, limit: int) -> None:
    """Remove what was not used for longest until no more than ``limit`` bytes are left.

    What was used within an hour stays.
    """
    held = entries(folder)
    total = sum(size for _, size, _ in held)
    for path, size, used in held:
        if total <= limit or time.time() - used < _IN_USE:
            return
        path.unlink(missing_ok=True)
        total -= size


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold an entry's claim; without one where none can be made, or once the entry exists."""
    claim = None
    try:
        while (claim := claims.acquire(path.with_suffix(".claim"))) is None:
            if path.is_file():
                break
            time.sleep(_LOOK)
    except OSError as error:
        _log.warning("no claim on a cache entry: %s", error)
    try:
        yield
    finally:
        if claim is not None:
            with suppress(OSError):
                claim.release()


def _key(made_from: Any) -> str:
    text = json.dumps(made_from, ensure_ascii=True, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(key: str, arrays: Mapping[str, Array]) -> str:
    """SHA-256 over an entry's key, and the names, types, shapes and numbers of its arrays."""
    digest = hashlib.sha256(f"{key};".encode())
    for name, value in sorted(arrays.items()):
        digest.update(f"{name}:{value.dtype}:{value.shape};".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _read(path: Path, *, warn: bool = True) -> Arrays | None:
    """An entry, or ``None`` if it is missing, damaged, a link, or that of another key."""
    from safetensors import safe_open

    if path.is_symlink() or not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            whole = (file.metadata() or {}).get("digest") == _digest(path.stem, found)
        fault = "" if whole else "its digest is not that of its key and its numbers"
    except Exception as error:  # any error that a damaged file causes in the reader
        fault = str(error)
    if fault:
        if warn:
            _log.warning("the cache entry %s is made again: %s", path.name, fault)
        return None
    with suppress(OSError):
        os.utime(path)
    return found
