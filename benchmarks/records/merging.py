"""Results folders of several machines become one; what does not agree is named. No torch here.

A merge is a union of plans and of records. Nothing that ``out`` holds is replaced by something
else: only a cell without a result gives way to the same cell with one.
"""

import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import (
    StorageError,
    in_the_way,
    read_regular_file,
    write_atomically,
)
from nsbench.benchmarks.records import claims
from nsbench.benchmarks.records.digests import damaged_files
from nsbench.benchmarks.records.folder import ResultsFolder
from nsbench.benchmarks.records.json_file import AbsentError, RecordError
from nsbench.benchmarks.records.merging_studies import merge_studies
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.record import RUN_FIELDS, RunRecord, read_record
from nsbench.benchmarks.records.study import TRIALS, is_study

_SHARED = ("mteb", "leakage")  # beside ``runs``, and named by content
_NOT_COPIED = ("claim.json",)


@dataclass(frozen=True)
class Merged:
    """Result of a merge.

    Attributes:
        copied: Cells that were copied.
        same: Cells found more than once and alike in everything but when and where they ran.
        conflicts: One line for every cell that is not: where, and in what they differ.
        left_out: One line for everything that was not copied for another reason.
    """

    copied: int
    same: int
    conflicts: tuple[str, ...]
    left_out: tuple[str, ...]


def merge(roots: Sequence[Path], out: Path) -> Merged:
    """Copy the cells of results folders into one; tuning studies are joined, see `merging_studies`.

    A finished cell is preferred to a failed or skipped one of the same settings. Of two finished
    ones that differ the first is kept. What ``out`` holds already comes first, so that a merge can
    be made again. A cell whose files are not those of its record, or whose record is of another
    cell, is left out.

    Args:
        roots: The folders, in order of precedence.
        out: The merged folder; made if missing.

    Raises:
        RecordError: If a folder does not exist or is no results folder, or ``out`` is that of a
            study which is being run; nothing is copied then.
        StorageError: If ``out`` cannot be written; whole cells only are in it then.
    """
    folders = [ResultsFolder(root) for root in roots]
    for folder in folders:
        if not folder.runs.is_dir() and not folder.matrix.is_file():
            raise RecordError(f"{folder.root} is not a results folder: no matrix.json, no runs/")
    target = ResultsFolder(out)
    if is_study(target) and not claims.free(out / "claim"):
        raise RecordError(f"a process is running the study in {out}")
    merging = _Merging(target)
    held = [target] if merging.held or target.matrix.is_file() or is_study(target) else []
    others = [folder for folder in folders if folder.root.resolve() != out.resolve()]
    try:
        merging.target.runs.mkdir(parents=True, exist_ok=True)
        for folder in others:
            merging.add(folder)
        merging.plans([target, *folders])
        joined = merge_studies([*held, *others], target, merging.left_out.append)
        trials = [f.root / TRIALS for f in joined if (f.root / TRIALS / "runs").is_dir()]
        if any(root != out / TRIALS for root in trials):
            found = merge(trials, out / TRIALS)
            merging.conflicts += found.conflicts
            merging.left_out += found.left_out
    except OSError as error:
        raise StorageError.at(out, error) from None
    return Merged(merging.copied, merging.same, tuple(merging.conflicts), tuple(merging.left_out))


@dataclass
class _Merging:
    """A merge that is being made.

    Attributes:
        target: The merged folder.
        held: Folder and record of each cell in it that has ended, by key.
        copied: See `Merged`, as the rest.
    """

    target: ResultsFolder
    held: dict[str, tuple[CellPaths, RunRecord]] = field(default_factory=dict)
    copied: int = 0
    same: int = 0
    conflicts: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        records, bad = self.target.records()
        self.left_out += bad
        for paths, record in records:
            if record.key in self.held:
                self.left_out.append(f"{paths.folder} repeats the key {record.key}")
            self.held.setdefault(record.key, (paths, record))

    def add(self, folder: ResultsFolder) -> None:
        """Copy what the target lacks of one folder."""
        self.left_out += [
            f"{folder.runs / name!s} is not a cell's folder" for name in folder.subfolders()[1]
        ]
        for paths in folder.folders():
            try:
                record = read_record(paths)
            except AbsentError:
                self.left_out.append(f"{paths.folder}: no end")
                continue
            except RecordError as error:
                self.left_out.append(f"{error}")
                continue
            self._add_cell(paths, record)
        self._copy_shared(folder.root)

    def _add_cell(self, paths: CellPaths, record: RunRecord) -> None:
        before = self.held.get(record.key)
        if before is not None:
            different = _differ(before, (paths, record))
            if different:
                self.conflicts.append(
                    f"cell {record.key} differs in {', '.join(different)} between "
                    f"{before[0].folder} and {paths.folder}; the former is kept"
                )
                return
            if before[1].status == "done" or record.status != "done":
                self.same += before[1].status == record.status == "done"
                return
        if faults := damaged_files(paths.folder, record.files):
            self.left_out += faults
            return
        if why := self._taken(paths, before):
            self.left_out.append(why)
            return
        self.held[record.key] = (self._copy(paths, before), record)
        self.copied += 1

    def _taken(self, paths: CellPaths, before: tuple[CellPaths, RunRecord] | None) -> str:
        """Say why the target's folder of a cell must stay as it is; empty if it may be replaced."""
        final = CellPaths(self.target.runs / paths.folder.name)
        if in_the_way(final.folder) not in ("", "a directory"):
            return f"{final.folder} is {in_the_way(final.folder)}; {paths.folder} is not copied"
        if final.claim.exists() and not claims.free(final.claim):
            return f"{final.folder} is being run; {paths.folder} is not copied"
        known = before is not None and before[0].folder == final.folder
        if final.record.exists() and not known:
            return f"{final.record} cannot be used; {paths.folder} is not copied over it"
        return ""

    def _copy(self, paths: CellPaths, before: tuple[CellPaths, RunRecord] | None) -> CellPaths:
        """Copy a cell's folder under a temporary name, then rename; a kill leaves whole cells."""
        final = self.target.runs / paths.folder.name
        token = secrets.token_hex(4)
        temporary, old = (self.target.runs / f".{final.name}.{token}{e}" for e in (".tmp", "o.tmp"))
        try:
            temporary.mkdir()
            for entry in sorted(paths.folder.iterdir()):
                self._copy_entry(entry, temporary)
            for stale in {final, *(() if before is None else (before[0].folder,))}:
                if stale.exists():  # without a result, or of the same cell
                    stale.rename(old)
                    shutil.rmtree(old, ignore_errors=True)
            temporary.rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return CellPaths(final)

    def _copy_entry(self, entry: Path, folder: Path) -> None:
        if entry.name in _NOT_COPIED or (entry.name[0] == "." and entry.suffix == ".tmp"):
            return
        kind = in_the_way(entry)
        if kind:
            self.left_out.append(f"{entry} is {kind} and is not copied")
            return
        shutil.copyfile(entry, folder / entry.name, follow_symlinks=False)
        with suppress(OSError):
            shutil.copymode(entry, folder / entry.name)

    def _copy_shared(self, root: Path) -> None:
        """Copy the files that are named by content and are not there yet."""
        for name in _SHARED:
            for source in sorted((root / name).rglob("*")):
                target = self.target.root / source.relative_to(root)
                if stat.S_ISREG(source.lstat().st_mode) and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(target, read_regular_file(source))

    def plans(self, folders: Sequence[ResultsFolder]) -> None:
        """Write a matrix that lists the cells of all; name each that could not be used."""
        first: Mapping[str, Any] | None = None
        cells: dict[str, Mapping[str, Any]] = {}
        for folder in folders:
            if kind := in_the_way(folder.matrix):
                self.left_out.append(f"{folder.matrix} is {kind}, not a file")
                continue
            if not folder.matrix.exists():
                continue
            try:
                raw = folder.read_matrix(self.left_out)
            except RecordError as error:
                self.left_out.append(f"{error}")
                continue
            if first is not None and raw.get("config") != first.get("config"):
                self.left_out.append(
                    f"{folder.matrix} asks for another matrix; its cells are added"
                )
            first = first or raw
            for row in raw["cells"]:
                known = cells.setdefault(row["key"], row)
                if _settings(known["cell"]) != _settings(row["cell"]):
                    self.conflicts.append(
                        f"cell {row['key']} is planned with other settings in {folder.matrix}; "
                        "those of the folder before it are kept"
                    )
        if first is not None:
            rows = [_row(cells[key], self.held) for key in sorted(cells)]
            name = str(first.get("name", self.target.root.name))
            self.target.write_matrix(name, first.get("config"), rows)


def _row(row: Mapping[str, Any], held: Mapping[str, tuple[CellPaths, RunRecord]]) -> dict[str, Any]:
    key = row["key"]
    folder = held[key][0].folder.name if key in held else row.get("folder", "")
    return {"key": key, "folder": folder, "cell": row["cell"]}


def _settings(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return a cell without what is only shown of it."""
    return {name: value for name, value in cell.items() if name != "labels"}


def _differ(one: tuple[CellPaths, RunRecord], two: tuple[CellPaths, RunRecord]) -> list[str]:
    """Return in what two cells of one key do not agree; only finished ones say how they ended."""
    first, second = (record.plain() for _, record in (one, two))
    if _settings(first["cell"]) != _settings(second["cell"]):
        return ["cell"]
    if not one[1].status == two[1].status == "done":
        return []
    passed = {*RUN_FIELDS, "cell"}
    out = [k for k in first if k not in passed and first[k] != second.get(k)]
    scores = [_bytes(pair[0].scores) for pair in (one, two)]
    return (["scores"] if scores[0] != scores[1] else []) + out


def _bytes(path: Path) -> bytes:
    try:
        return read_regular_file(path)
    except OSError:
        return b""
