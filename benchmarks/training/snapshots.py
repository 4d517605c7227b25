"""Snapshots of a cell's training, kept in its folder so that a kill costs minutes.

A snapshot is one safetensors file: every tensor, and in its header the rest as JSON, its maker and
a SHA-256 over all of that. It is replaced whole by an atomic rename. One that is damaged, or was
made by another cell, recipe, version or way of running, is not used: the cell starts again.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.encoders import hash_weights
from nsbench.benchmarks.files import StorageError, write_atomically
from nsbench.benchmarks.records.cell import RECIPE, Cell

FORMAT = 2
_ASK = 32  # steps between two polls of several processes
_log = logging.getLogger("nsbench.cell")


class Snapshots:
    """Writes snapshots of one cell and reads the last one.

    Args:
        path: The file; ``None`` keeps and reads nothing.
        made_by: Plain data that a snapshot must carry to be used; see `made_by`.
        every: Seconds between two; 0 writes none (and still reads one).

    Attributes:
        before: Seconds of training behind the snapshot that was read.
        resumed: Steps behind it; 0 if none was read.
    """

    def __init__(
        self, path: Path | None = None, made_by: Mapping[str, Any] | None = None, every: float = 0.0
    ) -> None:
        self._path, self._made_by, self._every = path, dict(made_by or {}), every
        self._began = self._last = time.monotonic()
        self._written = False
        self._asked = 0
        self.before = 0.0
        self.resumed = 0

    @property
    def used(self) -> bool:
        """True if this cell has a snapshot, which later steps outdate."""
        return self._written or self.resumed > 0

    @property
    def wanted(self) -> bool:
        """True if any are written."""
        return self._path is not None and self._every > 0

    def due(self) -> bool:
        """Return True if it is time for another one, by the clock of the first process."""
        if not self.wanted:
            return False
        if team().size > 1:
            self._asked += 1
            if self._asked % _ASK:
                return False
        return team().told(time.monotonic() - self._last >= self._every)

    def write(self, steps: int, tree: Any) -> None:
        """Write a tree of tensors and plain data; a full disk costs the snapshot, not the cell."""
        self._written = True
        if team().rank or self._path is None:  # the first process writes for all
            return

        tensors: dict[str, Tensor] = {}
        seconds = self.before + time.monotonic() - self._began
        plain = {"steps": steps, "seconds": seconds, "state": _packed(tree, tensors)}
        about = json.dumps({"made_by": self._made_by, "plain": plain})
        data = save(tensors, {"about": about, "digest": _digest(about, tensors)})
        try:
            write_atomically(self._path, data)
        except StorageError as error:
            _log.warning("no checkpoint after step %d: %s", steps, error)
        else:
            _log.info("checkpoint after step %d: %d bytes", steps, len(data))
        self._last = time.monotonic()

    def read(self) -> Any:
        """Return the last state, or ``None`` if there is none that every process can use."""
        found = self._read()
        if not team().agree(found is not None):
            return None
        about, tensors = found
        self.before = float(about["plain"]["seconds"])
        self.resumed = int(about["plain"]["steps"])
        _log.info("resumed after step %d", self.resumed)
        return _unpacked(about["plain"]["state"], tensors)

    def _read(self) -> Any:
        if self._path is None or self._path.is_symlink() or not self._path.is_file():
            return None
        try:
            about, tensors = _load(self._path)
        except Exception as error:  # a damaged file raises any error
            _log.warning("%s is damaged, the cell starts again: %s", self._path.name, error)
            return None
        found = about["made_by"]
        if found != self._made_by:
            other = [k for k in self._made_by if found.get(k) != self._made_by[k]] or ["more"]
            _log.warning(
                "%s is not of this run (other %s), the cell starts again",
                self._path.name,
                ", ".join(other),
            )
            return None
        return about, tensors

    def remove(self) -> None:
        """Remove the snapshot of a cell that has ended."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def made_by(cell: Cell, environment: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return everything that must agree for a cell to be resumed to the last bit."""
    versions = dict(environment["versions"])
    return {
        "format": FORMAT,
        "key": cell.key,
        "recipe": RECIPE,
        "versions": {name: versions.get(name, "") for name in ("nsbench", "torch", "numpy")},
        "platform": environment["platform"],
        "cpu": environment["cpu"],
        **more,
    }


def _load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    about = header["about"]
    if _digest(about, tensors) != header["digest"]:
        raise ValueError("its SHA-256 does not match")
    return json.loads(about), tensors


def _digest(about: str, tensors: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(f"{about}{hash_weights(tensors.items())}".encode()).hexdigest()


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return plain data in which a number stands for each tensor, added to ``tensors``."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[k, _packed(v, tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_packed(v, tensors) for v in value]}
    return value


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "dict":
        return {k: _unpacked(v, tensors) for k, v in inside}
    parts = [_unpacked(v, tensors) for v in inside]
    return parts if kind == "list" else tuple(parts)


def frame_state(table: pd.DataFrame) -> list[tuple[str, str, Any]]:
    """Return name, type and values of every column; words become numbers and a list."""
    out: list[tuple[str, str, Any]] = []
    for name in table.columns:
        values, kind = table[name], str(table[name].dtype)
        numbers = pd.api.types.is_numeric_dtype(values.dtype)
        words: list[Any] = []
        if not numbers:
            places, found = pd.factorize(values, use_na_sentinel=False)
            values, words = pd.Series(places), found.tolist()
        out.append((name, kind, (torch.from_numpy(np.array(values)), words)))
    return out


def frame_of(state: list[tuple[str, str, Any]]) -> pd.DataFrame:
    """Return the table of a `frame_state`."""
    columns: dict[str, Any] = {}
    for name, kind, (held, words) in state:
        numbers = pd.api.types.is_numeric_dtype(kind)
        columns[name] = held.numpy() if numbers else [words[place] for place in held.tolist()]
    return pd.DataFrame(columns).astype({name: kind for name, kind, _ in state})
