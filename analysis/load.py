"""Results folders become tidy tables; whatever could not be used is named, never dropped unsaid."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis._columns import AXES, Columns, Piece
from nsbench.analysis._table import cell_table
from nsbench.analysis.scores import (
    NO_SCORES,
    CellScores,
    ScoreReader,
    ScoreRow,
    score_table,
    with_cells,
)
from nsbench.benchmarks.records import (
    DIFFICULTY_COLUMNS,
    HISTOGRAM_COLUMNS,
    AbsentError,
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    read_json,
    read_record,
)
from nsbench.benchmarks.shared import Shared, no_collection

DIFFICULTY_IDENTITY = ("key", *AXES, "seed")


@dataclass(frozen=True)
class LoadedCell:
    """One cell as it was found.

    Attributes:
        key: The cell's key.
        matrix: Name of the matrix it belongs to, or the folder's name.
        cell: The cell as plain data.
        status: One of ``records.STATUSES``; a cell whose record says done but whose scores cannot
            be read counts as failed.
        info: Why it is not done, one line; empty when done.
        planned: Whether ``matrix.json`` lists it.
        record: Its record, where there is one.
        paths: Its files, where there are any.
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


@dataclass(frozen=True)
class Results:
    """Everything that was read from one or several results folders.

    Attributes:
        roots: The folders.
        loaded: The cells, sorted by identity.
        cells: One row per cell: identity, labels, parameters, budget, cost, provenance.
        scores: One row per score: ``key``, task, split, subset, metric, value, ``n_examples`` and
            ``main``. `tidy_scores` puts the columns of cells beside them.
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
            if matrix:
                matrices.append(matrix)
            for cell in cells:
                merged[cell.key] = _merge(merged.get(cell.key), cell, conflicts)
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


def tidy_scores(results: Results) -> pd.DataFrame:
    """One row per score with every column of its cell: identity, score, leakage, parameters.

    A hundred columns a row: only for what fits in memory so.
    """
    return with_cells(results.scores, results.cells, results.loaded, results.columns)


def load_difficulty(
    results: Results, columns: Sequence[str] = (), *, compact: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """The difficulty of every finished cell, long, and one line per file that cannot be read.

    Args:
        results: As loaded.
        columns: Those of ``difficulty.parquet`` to read beside ``step`` and ``quantity``; all
            without any.
        compact: Texts as categories in order of name: a tenth of the room, for 100,000 cells.

    Returns:
        Columns `DIFFICULTY_IDENTITY` and those of ``difficulty.parquet``, one row per cell, step
        and quantity; a finished cell without the file is no fault (the untrained baseline).
    """
    import pyarrow as pa

    wanted = ("step", "quantity", *(columns or ("mean",)))
    tables: list[pa.Table] = []
    places: list[int] = []
    bad: list[str] = []
    for place, cell in enumerate(results.loaded):
        if cell.status != "done" or cell.paths is None or not cell.paths.difficulty.is_file():
            continue
        try:
            table = _arrow_table(cell.paths.difficulty, wanted, every=not columns)
        except RecordError as error:
            bad.append(str(error))
            continue
        tables.append(table)
        places.append(place)
    if not tables:
        return pd.DataFrame(columns=[*DIFFICULTY_IDENTITY, *DIFFICULTY_COLUMNS]), bad
    whole = pa.concat_tables(tables, promote_options="permissive")
    rows = np.repeat(places, [t.num_rows for t in tables])
    named: dict[str, Any] = {}
    for name in DIFFICULTY_IDENTITY:
        values = results.cells[name].array
        narrow = compact and pd.api.types.is_string_dtype(values)
        named[name] = (pd.Categorical(values) if narrow else values).take(rows)
    quantity = whole["quantity"].combine_chunks()
    which = whole.schema.get_field_index("quantity")
    whole = whole.set_column(which, "quantity", quantity.dictionary_encode())
    del tables
    out = pd.DataFrame(named).join(whole.to_pandas(self_destruct=True))
    if compact:
        known = sorted(out["quantity"].cat.categories)
        return out.assign(quantity=out["quantity"].cat.set_categories(known)), bad
    return out.astype({"quantity": "str"}), bad


def plain_texts(table: pd.DataFrame) -> pd.DataFrame:
    """A table with texts in place of categories; for what is left of a compact one."""
    narrow = [c for c, kind in table.dtypes.items() if isinstance(kind, pd.CategoricalDtype)]
    return table.astype(dict.fromkeys(narrow, "str"))


def _arrow_table(path: Path, columns: Sequence[str], *, every: bool) -> Any:
    """Read some or all columns of a parquet file, in a tenth of the time that pandas takes.

    Raises:
        RecordError: If it is missing, cut short, or lacks a column.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            absent = [c for c in columns if c not in file.schema_arrow.names]
            if not absent:
                table = file.read(None if every else list(columns), use_threads=False)
                return table.replace_schema_metadata(None)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors or OSErrors
        line = " ".join(str(error).split())
        raise RecordError(f"cannot read {path}: {line}") from None
    raise RecordError(f"{path} lacks the columns {', '.join(absent)}")


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read one parquet file of a cell.

    Raises:
        RecordError: If it is missing, cut short, or lacks a column.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors or OSErrors
        line = " ".join(str(error).split())
        raise RecordError(f"cannot read {path}: {line}") from None
    absent = [c for c in columns if c not in table]
    if absent:
        raise RecordError(f"{path} lacks the columns {', '.join(absent)}")
    return table


class CellTables(Mapping[str, pd.DataFrame]):
    """One kind of table of the finished cells by key, read whenever it is asked for.

    A table that cannot be read is not there: ``get`` gives ``None``.

    Args:
        results: As loaded.
        kind: Property of `CellPaths`: ``choices``, ``probe`` ...
        columns: What it must hold.
    """

    def __init__(self, results: Results, kind: str, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._paths = {
            cell.key: path
            for cell in results.loaded
            if cell.status == "done"
            and cell.paths is not None
            and (path := getattr(cell.paths, kind)).is_file()
        }

    def __getitem__(self, key: str) -> pd.DataFrame:
        try:
            return read_table(self._paths[key], self._columns)
        except RecordError as error:
            raise KeyError(key) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def histogram_window(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Counts of the first logged step (``before``) and of the last logging window (``after``).

    Args:
        table: A ``histograms.parquet``; its counts are cumulative.
    """
    steps = sorted(table["step"].unique())
    if not steps:
        return {}
    wide = table.pivot_table(index=["quantity", "bin_low"], columns="step", values="count")
    after = wide[steps[-1]] - (wide[steps[-2]] if len(steps) > 1 else 0.0)
    named = {"before": wide[steps[0]], "after": after}
    return {k: v.rename("count").reset_index() for k, v in named.items()}


def load_histograms(results: Results) -> dict[str, pd.DataFrame]:
    """The histograms of every finished cell that has readable ones, by key."""
    out: dict[str, pd.DataFrame] = {}
    for cell in results.loaded:
        if cell.status == "done" and cell.paths is not None and cell.paths.histograms.is_file():
            with suppress(RecordError):
                out[cell.key] = read_table(cell.paths.histograms, HISTOGRAM_COLUMNS)
    return out


def load_random_pairs(results: Results) -> dict[str, list[int]]:
    """Counts of the similarity of random texts in equal bins on [-1, 1], by key."""
    out: dict[str, list[int]] = {}
    for cell in results.loaded:
        found = cell.record.evaluation.get("random_pairs") if cell.record else None
        if isinstance(found, list) and all(isinstance(c, int) and c >= 0 for c in found):
            out[cell.key] = found
    return out


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
        planned = {c["key"]: c["cell"] for c in matrix.get("cells", [])}
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
                except RecordError as error:
                    notes.append(f"{folder.matrix} lists a cell of another shape: {error}")
                    continue
                found[key] = LoadedCell(
                    key, name, content, "pending", "not started", columns=columns
                )
        strange = [f"{folder.runs / name} is not a cell's folder" for name in sorted(foreign)]
        return matrix, list(found.values()), [*strange, *notes]

    def _cell(
        self, paths: CellPaths, matrix: str, planned: Mapping[str, Mapping[str, Any]]
    ) -> LoadedCell:
        """What stands in one cell's folder.

        Raises:
            RecordError: If neither its record nor its cell can be used.
        """
        try:
            record = read_record(paths, self._shared)
        except AbsentError:
            return self._unfinished(paths, matrix, planned)
        status, info, scores = str(record.status), record.reason, NO_SCORES
        columns = self._columns(record.cell, paths, "record")
        if status == "done":
            try:
                info, scores = "", self._scores.read(paths)
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
        """A cell that was begun and has no record."""
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
        try:
            return self.columns.of_cell(content)
        except RecordError as error:
            raise RecordError(f"{getattr(paths, file)} is not a cell: {error}") from None


def _read_matrix(folder: ResultsFolder, notes: list[str]) -> Mapping[str, Any]:
    if not folder.matrix.is_file():
        notes.append(f"{folder.matrix} is missing: cells that never started cannot be shown")
        return {}
    try:
        raw = folder.read_matrix()
    except RecordError as error:
        notes.append(str(error))
        return {}
    good = []
    for cell in raw["cells"]:
        try:
            good.append({**cell, "key": str(cell["key"]), "cell": cell["cell"]})
        except (KeyError, TypeError) as error:
            notes.append(f"{folder.matrix} lists a cell of another shape: {error}")
    return {**raw, "cells": good}


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
    """Whether two lists of scores are the same, NaN being equal to NaN."""
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
