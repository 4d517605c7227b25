"""Results folders as tidy tables; all that could not be used is named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.read.cell_table import cell_table
from nsbench.analysis.read.columns import Columns, Piece
from nsbench.analysis.read.scores import (
    NO_SCORES,
    CellScores,
    ScoreReader,
    ScoreRow,
    score_table,
)
from nsbench.benchmarks.files import in_the_way
from nsbench.benchmarks.keys import visible
from nsbench.benchmarks.records import (
    AbsentError,
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    read_json,
    read_record,
)
from nsbench.benchmarks.records.schema import cell_fault
from nsbench.benchmarks.records.shared import Shared, no_collection
from nsbench.benchmarks.records.study import CHOSEN, is_study


@dataclass(frozen=True)
class LoadedCell:
    """One cell as it was found.

    Attributes:
        key: The cell's key.
        matrix: Name of the matrix it belongs to, or the folder's name.
        cell: The cell as plain data.
        status: A `nsbench.benchmarks.records.record.Status`; finished but unreadable is failed.
        info: Why it is not done, one line; empty when done.
        planned: Whether ``matrix.json`` lists it.
        record: Its record, if there is one.
        paths: Its files, if there are any.
        scores: One row per score; empty unless done.
        columns: Labels, names and parameters of the cell, flat, in pieces that cells share.
    """

    key: str
    matrix: str
    cell: Mapping[str, Any]
    status: str
    info: str = ""
    planned: bool = True
    record: RunRecord | None = None
    paths: CellPaths | None = None
    scores: CellScores = NO_SCORES
    columns: tuple[Piece, ...] = ()


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that was read from one or several results folders.

    Attributes:
        roots: The folders.
        loaded: The cells, sorted by identity.
        cells: One row per cell: identity, labels, parameters, budget, cost, provenance.
        scores: One row per score: ``key``, task, split, subset, metric, value, ``n_examples`` and
            ``main``.
        left_out: One line for each thing that was found and not used.
        conflicts: One line for each key that was found with different scores.
        matrices: The ``matrix.json`` of each folder that has one.
    """

    roots: tuple[Path, ...]
    loaded: tuple[LoadedCell, ...]
    cells: pd.DataFrame
    scores: pd.DataFrame
    left_out: tuple[str, ...]
    conflicts: tuple[str, ...]
    matrices: tuple[Mapping[str, Any], ...]
    columns: Columns = field(default_factory=Columns, repr=False)


def load_results(roots: Path | str | Sequence[Path | str]) -> Results:
    """Read results folders and merge them.

    A key found twice with the same scores counts once; a finished cell wins over an unfinished
    one; two finished cells with different scores are a conflict, of which the first is kept.

    Args:
        roots: One folder or several, in order of precedence.

    Raises:
        RecordError: If a folder does not exist or holds neither ``matrix.json`` nor ``runs``.
    """
    folders = [Path(r) for r in ([roots] if isinstance(roots, str | Path) else roots)]
    merged: dict[str, LoadedCell] = {}
    left_out: list[str] = []
    conflicts: list[str] = []
    matrices: list[Mapping[str, Any]] = []
    reader = _Reader()
    with no_collection():
        for root in folders:
            matrix, cells, notes = reader.folder(ResultsFolder(root))
            left_out += notes
            if told := unchosen(root):
                left_out.append(told)
            if matrix:
                matrices.append(matrix)
            for cell in cells:
                merged[cell.key] = _merge(merged.get(cell.key), cell, conflicts)
        reader.columns.shorten()
        table = cell_table([_row(c, reader.columns) for c in merged.values()])
    ordered = tuple(merged[k] for k in table["key"])
    return Results(
        roots=tuple(folders),
        loaded=ordered,
        cells=table,
        scores=score_table([c.scores for c in ordered], [c.key for c in ordered]),
        left_out=tuple(left_out),
        conflicts=tuple(conflicts),
        matrices=tuple(matrices),
        columns=reader.columns,
    )


def unchosen(root: Path) -> str:
    """Say that a study's settings are not chosen yet; empty if they are, or for other folders."""
    if not is_study(ResultsFolder(root)) or (root / CHOSEN).is_file():
        return ""
    return (
        f"{root} holds a tuning study that has not chosen its settings yet: it continues with "
        f"nsbench tune STUDY --out {root}"
    )


def defaults_only(results: Results) -> frozenset[str]:
    """Return the keys of cells that stand for a study's defaults and for nothing else.

    Raises:
        RecordError: If a ``tuning.json`` cannot be read.
    """
    found: set[str] = set()
    for root in results.roots:
        if (root / CHOSEN).is_file():
            methods = read_json(root / CHOSEN)["methods"]
            found |= {str(k) for m in methods for k in m["default"]}
            found -= {str(k) for m in methods for k in m["tuned"]}
    return frozenset(found)


class _Reader:
    """Reads results folders; what cells have in common is one object for all of them."""

    def __init__(self) -> None:
        self.columns = Columns()
        self._shared = Shared()
        self._scores = ScoreReader()

    def folder(
        self, folder: ResultsFolder
    ) -> tuple[Mapping[str, Any], list[LoadedCell], list[str]]:
        """The matrix of a folder, its cells, and one line for each thing left out.

        Raises:
            RecordError: If it does not exist or is no results folder.
        """
        if not folder.root.is_dir():
            raise RecordError(f"there is no results folder {folder.root}")
        if not folder.runs.is_dir() and not folder.matrix.is_file():
            raise RecordError(
                f"{folder.root} is not a results folder: it has neither matrix.json nor runs/"
            )
        there, foreign = folder.subfolders()
        notes: list[str] = []
        matrix = _read_matrix(folder, notes)
        name = str(matrix.get("name") or folder.root.resolve().name)
        planned: dict[str, Any] = {c["key"]: c["cell"] for c in matrix.get("cells", [])}
        found: dict[str, LoadedCell] = {}
        for paths in there:
            try:
                cell = self._cell(paths, name, planned)
            except RecordError as error:
                if paths.is_cell():
                    notes.append(str(error))
                else:
                    foreign.append(paths.folder.name)
                continue
            before = found.get(cell.key)
            if before is not None:
                notes.append(f"{paths.folder} repeats the key {cell.key} of another folder")
            found[cell.key] = cell if before is None or before.status != "done" else before
        for key, content in planned.items():
            if key not in found:
                try:
                    columns = self.columns.of_cell(content)
                except (RecordError, RecursionError) as error:
                    notes.append(f"{folder.matrix} lists a cell of another shape: {error}")
                    continue
                found[key] = LoadedCell(
                    key, name, content, "pending", "not started", columns=columns
                )
        strange = [
            visible(f"{folder.runs / name} is not a cell's folder") for name in sorted(foreign)
        ]
        return matrix, list(found.values()), [*strange, *notes]

    def _cell(
        self, paths: CellPaths, matrix: str, planned: Mapping[str, Mapping[str, Any]]
    ) -> LoadedCell:
        """Read one cell's folder.

        Raises:
            RecordError: If neither its record nor its cell can be used.
        """
        try:
            record = read_record(paths, self._shared)
        except AbsentError:
            return self._unfinished(paths, matrix, planned)
        status, info, scores = str(record.status), record.reason, NO_SCORES
        self._once(lambda: self.columns.of_record(record), paths, "record")
        columns = self._columns(record.cell, paths, "record")
        if status == "done":
            try:
                info, scores = "", self._scores.read(paths, record.files)
            except RecordError as error:
                status, info = "failed", str(error)
        return LoadedCell(
            record.key,
            matrix,
            record.cell,
            status,
            info,
            record.key in planned,
            record=record,
            paths=paths,
            scores=scores,
            columns=columns,
        )

    def _unfinished(
        self, paths: CellPaths, matrix: str, planned: Mapping[str, Mapping[str, Any]]
    ) -> LoadedCell:
        """Read a cell that was begun and has no record."""
        raw = read_json(paths.cell)
        content = raw.get("cell", raw) if isinstance(raw, dict) else raw
        columns = self._columns(content, paths, "cell")
        key = paths.folder.name.rpartition("-")[2]
        at_work = paths.claim.exists()
        status, info = ("running", "at work") if at_work else ("pending", "broken off")
        return LoadedCell(
            key, matrix, content, status, info, key in planned, paths=paths, columns=columns
        )

    def _columns(self, content: Any, paths: CellPaths, file: str) -> tuple[Piece, ...]:
        if fault := cell_fault(content):
            raise RecordError(f"{getattr(paths, file)} is not a cell: {fault}")
        return self._once(lambda: self.columns.of_cell(content), paths, file)

    def _once(
        self, make: Callable[[], tuple[Piece, ...]], paths: CellPaths, file: str
    ) -> tuple[Piece, ...]:
        try:
            return make()
        except (RecordError, RecursionError, OverflowError) as error:
            raise RecordError(f"{getattr(paths, file)} is not a cell: {error}") from None


def _read_matrix(folder: ResultsFolder, notes: list[str]) -> Mapping[str, Any]:
    if kind := in_the_way(folder.matrix):
        notes.append(f"{folder.matrix} is {kind}, not a file")
        return {}
    if not folder.matrix.exists():
        notes.append(f"{folder.matrix} is missing: cells that never started cannot be shown")
        return {}
    try:
        return folder.read_matrix(notes)
    except RecordError as error:
        notes.append(str(error))
        return {}


def _merge(before: LoadedCell | None, now: LoadedCell, conflicts: list[str]) -> LoadedCell:
    if before is None:
        return now
    if before.status != "done" or now.status != "done":
        return now if now.status == "done" or before.record is None else before
    one, two = (sorted(c.scores, key=lambda row: row[:4]) for c in (before, now))
    if not _equal(one, two):
        places = [str(c.paths.folder) for c in (before, now) if c.paths is not None]
        conflicts.append(
            f"cell {now.key} has different scores in {places[-1]}; those of {places[0]} are kept"
        )
    return before


def _equal(one: Sequence[ScoreRow], two: Sequence[ScoreRow]) -> bool:
    """Return whether two lists of scores are the same; NaN equals NaN."""
    return list(map(str, one)) == list(map(str, two))


_NO_RECORD: tuple[Piece, ...] = ({},) * 6


def _row(cell: LoadedCell, columns: Columns) -> tuple[Piece, ...]:
    own = {
        "matrix": cell.matrix,
        "key": cell.key,
        "status": cell.status,
        "info": cell.info,
        "planned": cell.planned,
    }
    known = _NO_RECORD if cell.record is None else columns.of_record(cell.record)
    return (own, *cell.columns, *known)
