"""Difficulty tables, histograms and other tables of single cells."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.columns import AXES
from nsbench.analysis.read.load import LoadedCell, Results
from nsbench.benchmarks.files import read_regular_file
from nsbench.benchmarks.records import DIFFICULTY_COLUMNS, DIFFICULTY_VERSION, RecordError
from nsbench.benchmarks.records.digests import UNPACKED, check_digest

DIFFICULTY_IDENTITY = ("key", *AXES, "seed")
SOFTMAX = ("info_nce", "nt_xent", "sup_simcse")
"""Objectives whose gradient is shared out by softmax weights."""
OF_GRADIENT = (
    "effective_negatives",
    "effective_negatives_kish",
    "negative_pull",
    "gradient_",
    "false_negative_weight",
)
"""Quantities, or their beginnings, that version 1 took from the softmax of every objective."""


def measured_otherwise(cell: LoadedCell) -> bool:
    """Return True if the gradient of a cell was measured as a softmax that its objective has not.

    Records of version 1 are such, unless the objective is a softmax over one level.
    """
    if cell.record is None or cell.record.difficulty_version >= DIFFICULTY_VERSION:
        return False
    objective, sampler = cell.cell.get("objective"), str(cell.cell.get("sampler"))
    if not objective or "incremental" in sampler:
        return True
    given = objective.get("params") or {}
    plain = not given.get("hard_weight") and given.get("variant", "paper") == "paper"
    return objective.get("name") not in SOFTMAX or not plain


def load_difficulty(
    results: Results, columns: Sequence[str] = (), *, compact: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Return the difficulty of every finished cell, long, and a line per thing left out.

    Left out are files that cannot be read, and of cells that `measured_otherwise` says yes to the
    quantities `OF_GRADIENT`, so that one figure never mixes two meanings.

    Args:
        results: As loaded.
        columns: Those of ``difficulty.parquet`` to read in addition to ``step`` and ``quantity``;
            empty for all.
        compact: Texts as categories in order of name: a tenth of the memory, for 100,000 cells.

    Returns:
        Columns `DIFFICULTY_IDENTITY` and those of ``difficulty.parquet``, one row per cell, step
        and quantity; a finished cell without the file is no fault (the untrained baseline).
    """
    import pyarrow as pa

    wanted = ("step", "quantity", *(columns or ("mean",)))
    tables: list[pa.Table] = []
    places: list[int] = []
    bad: list[str] = []
    otherwise = 0
    for place, cell in enumerate(results.loaded):
        if cell.status != "done" or cell.paths is None or not _there(cell, "difficulty"):
            continue
        try:
            table = _arrow_table(cell, "difficulty", wanted, every=not columns)
        except RecordError as error:
            bad.append(str(error))
            continue
        if measured_otherwise(cell):
            otherwise += 1
            table = _without(table, OF_GRADIENT)
        tables.append(table)
        places.append(place)
    if otherwise:
        bad.append(
            f"{otherwise} cells were recorded before the gradient was measured by objective: their "
            "effective negatives, gradient shares and pull are left out; run them again to have "
            "them"
        )
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


def _without(table: Any, beginnings: Sequence[str]) -> Any:
    """Return the rows of an arrow table whose quantity begins with none of these."""
    kept = [not str(n).startswith(tuple(beginnings)) for n in table["quantity"].to_pylist()]
    return table.filter(kept)


def plain_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with texts in place of categories, for the rest of a compact one."""
    narrow = [c for c, kind in table.dtypes.items() if isinstance(kind, pd.CategoricalDtype)]
    return table.astype(dict.fromkeys(narrow, "str"))


def _there(cell: LoadedCell, kind: str) -> bool:
    """Return whether a cell has a table; one that its record names must be there."""
    if cell.paths is None:
        return False
    path: Path = getattr(cell.paths, kind)
    named = cell.record is not None and path.name in cell.record.files
    return path.exists() or (named and not (cell.paths.folder / UNPACKED).exists())


def _arrow_table(cell: LoadedCell, kind: str, columns: Sequence[str], *, every: bool) -> Any:
    """Read some or all columns of a cell's parquet file, in a tenth of the time that pandas takes.

    Raises:
        RecordError: If it is missing, cut short, lacks a column, or is not the one that the record
            names.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if cell.paths is None:
        raise RecordError(f"cell {cell.key} has no {kind}")
    path: Path = getattr(cell.paths, kind)
    try:
        data = read_regular_file(path)
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            absent = [c for c in columns if c not in file.schema_arrow.names]
            if not absent:
                table = file.read(None if every else list(columns), use_threads=False)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors or OSErrors
        line = " ".join(str(error).split())
        raise RecordError(f"cannot read {path}: {line}") from None
    if absent:
        raise RecordError(f"{path} lacks the columns {', '.join(absent)}")
    check_digest(path.parent, path.name, data, {} if cell.record is None else cell.record.files)
    return table.replace_schema_metadata(None)


class CellTables(Mapping[str, pd.DataFrame]):
    """One kind of table of the finished cells by key, read at each access.

    ``get`` gives ``None`` for a table that cannot be read. Of cells that `measured_otherwise` says
    yes to, weights are left out: the rows ``chosen_percentile_weighted`` of histograms, and the
    tables of choices.

    Args:
        results: As loaded.
        kind: Property of `CellPaths`: ``choices``, ``probe`` ...
        columns: Columns it must have.

    Attributes:
        left_out: One line for each table that could not be used, by key, as they are read.
    """

    def __init__(self, results: Results, kind: str, columns: Sequence[str]) -> None:
        self._columns, self._kind = tuple(columns), kind
        self.left_out: dict[str, str] = {}
        found = {
            cell.key: (cell, measured_otherwise(cell))
            for cell in results.loaded
            if cell.status == "done" and _there(cell, kind)
        }
        self._cells = {
            k: cell for k, (cell, other) in found.items() if kind != "choices" or not other
        }
        self._unweighted = {k for k, (_, other) in found.items() if other and kind == "histograms"}

    def __getitem__(self, key: str) -> pd.DataFrame:
        cell = self._cells[key]
        try:
            table = _arrow_table(cell, self._kind, self._columns, every=True)
        except RecordError as error:
            self.left_out[key] = str(error)
            raise KeyError(key) from error
        if key in self._unweighted:
            table = _without(table, ("chosen_percentile_weighted",))
        return pd.DataFrame(table.to_pandas())

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)


def histogram_window(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return counts of the first logged step (``before``) and of the last window (``after``).

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


def load_random_pairs(results: Results) -> dict[str, list[int]]:
    """Return counts of the similarity of random texts in equal bins on [-1, 1], by key."""
    out: dict[str, list[int]] = {}
    for cell in results.loaded:
        found = cell.record.evaluation.get("random_pairs") if cell.record else None
        if isinstance(found, list) and all(isinstance(c, int) and c >= 0 for c in found):
            out[cell.key] = found
    return out
