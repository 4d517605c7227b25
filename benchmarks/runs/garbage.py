"""Files of a results folder that no run needs, and failed cells that are to be retried."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.matrix.estimate import duration
from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    claims,
    read_json,
    read_record,
)
from nsbench.benchmarks.records.cache import entries
from nsbench.benchmarks.records.cell import RECIPE
from nsbench.benchmarks.records.status import cell_text


@dataclass(frozen=True)
class Waste:
    """Something that may go.

    Attributes:
        path: A file, or a folder with all that is in it.
        why: Why nothing needs it.
        size: Bytes.
    """

    path: Path
    why: str
    size: int


def find_waste(folder: ResultsFolder) -> Iterator[Waste]:
    """Everything in a results folder that no run of this version will read.

    Cells of an older ``RECIPE``; cells that are not of the last matrix and were broken off; claims
    of dead processes; checkpoints of cells that have ended; files that a process was killed in the
    middle of; mteb results of cells that are no longer there. A cell that a process is running is
    left alone, and so are links.
    """
    try:
        planned = {c["key"] for c in folder.read_matrix()["cells"]}
    except RecordError:
        planned = None
    kept = set()
    for paths in folder.folders():
        if paths.claim.exists() and not _abandoned(paths):
            kept.add(paths.folder.name.rpartition("-")[2])
            continue
        why = _why(paths, planned)
        if why:
            yield _waste(paths.folder, why)
            continue
        kept.add(paths.folder.name.rpartition("-")[2])
        if paths.claim.exists():
            yield _waste(paths.claim, "claimed by a process that has ended")
        if paths.snapshot.exists() and _has_ended(paths):
            yield _waste(paths.snapshot, "checkpoint of a cell that has ended")
        for file in paths.temporary():
            yield _waste(file, "left by a process that was killed while writing")
    for file in sorted([*folder.root.glob(".*.tmp"), *folder.runs.glob(".*.tmp")]):
        yield _waste(file, "left by a process that was killed while writing")
    for entry in sorted((folder.root / "mteb" / "results").glob("nsbench__*")):
        if entry.name.removeprefix("nsbench__") not in kept and not entry.is_symlink():
            yield _waste(entry, "mteb results of a cell that is not there")


def cached(folder: Path) -> Iterator[Waste]:
    """Everything in a cache of `nsbench.benchmarks.records.cache`: a later run makes it again."""
    now = time.time()
    for path, size, used in entries(folder):
        yield Waste(path, f"last used {duration(max(0.0, now - used))} ago", size)
    for path in sorted(folder.glob(".*.tmp")):
        yield _waste(path, "left by a process that was killed while writing")


def _why(paths: CellPaths, planned: set[str] | None) -> str:
    """Return why a cell may go, or an empty text."""
    try:
        cell = read_record(paths).cell if paths.record.exists() else read_json(paths.cell)
        recipe, key = cell["recipe"], paths.folder.name.rpartition("-")[2]
    except (RecordError, KeyError, TypeError):
        return ""  # nobody knows what it is
    if recipe != RECIPE:
        return f"made by recipe {recipe}; this version's is {RECIPE}"
    if planned is not None and key not in planned and not paths.record.exists():
        return "broken off, and not of the last matrix"
    return ""


def _has_ended(paths: CellPaths) -> bool:
    """Return whether a cell needs no checkpoint; one that was killed may resume from it."""
    try:
        return read_record(paths).status != "failed"
    except RecordError:
        return False


def _abandoned(paths: CellPaths) -> bool:
    """Return whether a claim's owner ran on this machine and has ended."""
    owner = claims.read_owner(paths.claim)
    if owner is None or owner.machine != claims.this_machine():
        return False
    return claims.process_born(owner.pid) != owner.born


def _waste(path: Path, why: str) -> Waste:
    files = [path] if not path.is_dir() else [p for p in path.rglob("*") if p.is_file()]
    return Waste(path, why, sum(p.lstat().st_size for p in files))


def remove(folder: ResultsFolder, waste: Sequence[Waste]) -> None:
    """Remove what `find_waste` found.

    Raises:
        ValueError: If something lies outside the folder: then nothing is removed.
        StorageError: If something cannot be removed.
    """
    root = folder.root.resolve()
    for item in waste:
        if root not in item.path.parent.resolve().parents and item.path.parent.resolve() != root:
            raise ValueError(f"{item.path} is not inside {folder.root}")
    for item in waste:
        try:
            if item.path.is_dir() and not item.path.is_symlink():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError.at(item.path, error) from None


def forget_failed(folder: ResultsFolder, only: Sequence[str] = ()) -> list[RunRecord]:
    """Remove the records of failed cells, so that the next run does them again.

    Their logs stay. A cell that another process is running is left alone.

    Args:
        folder: The results folder.
        only: Globs over the cell in words, its sampler's name, its key and the reason of its
            failure; all without one.

    Returns:
        The records that were removed.
    """
    forgotten = []
    for paths, record in folder.records()[0]:
        texts = (cell_text(record.cell), _sampler(record.cell), record.key, record.reason)
        wanted = not only or any(fnmatchcase(t, g) for t in texts for g in only)
        if record.status != "failed" or not wanted:
            continue
        try:
            claim = claims.acquire(paths.claim)
            if claim is None:
                continue
            try:
                paths.record.unlink(missing_ok=True)
            finally:
                claim.release()
        except OSError as error:
            raise StorageError.at(paths.folder, error) from None
        forgotten.append(record)
    return forgotten


def _sampler(cell: Mapping[str, Any]) -> str:
    """Return the name of a cell's sampler; empty where another version wrote it otherwise."""
    chosen = cell.get("sampler")
    return str(chosen.get("name", "")) if isinstance(chosen, Mapping) else ""
