"""Results folders of several machines become one; what does not agree is named. No torch here."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.records.folder import ResultsFolder
from nsbench.benchmarks.records.json_file import RecordError, read_json
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.record import RUN_FIELDS, RunRecord, read_record

_SHARED = ("mteb", "leakage")  # beside ``runs``, and named by content


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        copied: Cells that were copied.
        same: Cells found more than once and alike in everything but when and where they ran.
        conflicts: One line for every finished cell that is not: where, and in what they differ.
        left_out: One line for everything that was not copied for another reason.
    """

    copied: int
    same: int
    conflicts: tuple[str, ...]
    left_out: tuple[str, ...]


def merge(roots: Sequence[Path], out: Path) -> Merged:
    """Copy the cells of results folders into one.

    A finished cell is preferred to a failed or skipped one. Of two finished ones that differ the
    first is kept. What ``out`` holds already comes first, so that a merge can be made again.

    Args:
        roots: The folders, in order of precedence.
        out: The merged folder; made if missing.

    Raises:
        RecordError: If a folder does not exist or is no results folder; nothing is copied then.
    """
    folders = [ResultsFolder(root) for root in roots]
    for folder in folders:
        if not folder.runs.is_dir() and not folder.matrix.is_file():
            raise RecordError(f"{folder.root} is not a results folder: no matrix.json, no runs/")
    target = ResultsFolder(out)
    held = {record.key: (paths, record) for paths, record in target.records()[0]}
    copied = same = 0
    conflicts: list[str] = []
    left_out: list[str] = []
    target.runs.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        if folder.root.resolve() == out.resolve():
            continue
        for paths in folder.folders():
            try:
                record = read_record(paths)
            except RecordError as error:
                left_out.append(f"{error}" if paths.record.exists() else f"{paths.folder}: no end")
                continue
            before = held.get(record.key)
            if before is None or (before[1].status != "done" and record.status == "done"):
                if before is not None:
                    shutil.rmtree(before[0].folder)
                held[record.key] = (_copy(paths, target), record)
                copied += 1
            elif before[1].status == record.status == "done":
                different = _differ(before, (paths, record))
                if different:
                    conflicts.append(
                        f"cell {record.key} differs in {', '.join(different)} between "
                        f"{before[0].folder} and {paths.folder}; the former is kept"
                    )
                same += not different
        _copy_shared(folder.root, out)
    left_out += _merge_matrices([target, *folders], target)
    return Merged(copied, same, tuple(conflicts), tuple(left_out))


def _copy(paths: CellPaths, target: ResultsFolder) -> CellPaths:
    """Copy a cell's folder under a temporary name, its record last, then rename."""
    final = target.runs / paths.folder.name
    temporary = target.runs / f".{paths.folder.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    skipped = shutil.ignore_patterns("claim.json", ".*.tmp")
    shutil.copytree(paths.folder, temporary, ignore=skipped, symlinks=True)
    if final.exists():  # what never ended there
        shutil.rmtree(final)
    temporary.rename(final)
    return CellPaths(final)


def _differ(one: tuple[CellPaths, RunRecord], two: tuple[CellPaths, RunRecord]) -> list[str]:
    """What two finished cells of one key do not agree on."""
    first, second = (asdict(record) for _, record in (one, two))
    out = [k for k in first if k not in RUN_FIELDS and first[k] != second[k]]
    files = (one[0].scores, two[0].scores)
    scores = [path.read_bytes() if path.is_file() else b"" for path in files]
    return (["scores"] if scores[0] != scores[1] else []) + out


def _copy_shared(root: Path, out: Path) -> None:
    """Files that are named by content: those that are not there yet."""
    for name in _SHARED:
        for source in sorted((root / name).rglob("*")):
            target = out / source.relative_to(root)
            if source.is_file() and not source.is_symlink() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, source.read_bytes())


def _merge_matrices(folders: Sequence[ResultsFolder], target: ResultsFolder) -> list[str]:
    """Write a matrix that lists the cells of all; one line for each that could not be used."""
    notes: list[str] = []
    found: list[Mapping[str, Any]] = []
    for folder in folders:
        if not folder.matrix.is_file():
            continue
        try:
            raw = read_json(folder.matrix)
            cells = {str(cell["key"]): cell for cell in raw["cells"]}
        except (RecordError, KeyError, TypeError) as error:
            notes.append(f"{folder.matrix} is not a matrix: {error}")
            continue
        if found and raw.get("config") != found[0].get("config"):
            notes.append(f"{folder.matrix} asks for another matrix; its cells are added")
        found.append({**raw, "cells": cells})
    if found:
        cells = {k: c for raw in reversed(found) for k, c in raw["cells"].items()}
        merged = {**found[0], "cells": [cells[k] for k in sorted(cells)]}
        write_atomically(target.matrix, pretty_json(merged))
    return notes
