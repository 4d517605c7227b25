"""Tables of a packed results folder: the part of each cell's files that is kept. No torch here.

Scores are kept as they are; means and three quantiles of difficulty, and scores by query, are
rounded to `DIGITS` digits; of the histograms the steps that are drawn; of one seed of each method
some of the negatives; of the metrics of a query its test's main one.
"""

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from nsbench.benchmarks.files import read_regular_file
from nsbench.benchmarks.keys import spreadsheet_plain
from nsbench.benchmarks.records.digests import check_digest
from nsbench.benchmarks.records.negatives import (
    NEGATIVE_COLUMNS,
    TEXTS,
    excerpt,
    method_of,
    negatives_of,
)
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.record import (
    HISTOGRAM_COLUMNS,
    QUERY_COLUMNS,
    SCORE_COLUMNS,
    RunRecord,
)

DIGITS = 5
QUANTILES = ("q05", "q50", "q95")
"""Columns of difficulty; absent where they were left out."""
_DIFFICULTY = ("mean", *QUANTILES, "count")
TABLES = {
    "scores": SCORE_COLUMNS,
    "difficulty": ("step", "quantity", *_DIFFICULTY),
    "histograms": HISTOGRAM_COLUMNS,
    "negatives": NEGATIVE_COLUMNS,
    "queries": QUERY_COLUMNS,
}
"""Columns of each packed table, after the name of the cell's folder."""
OPTIONAL = ("histograms", "negatives", "queries")
"""Absent where no cell has any; histograms and texts also where they were left out."""
MOST = {"queries": 2_000_000}
"""Rows above which a table is left out."""
QUERY_METRIC = "ndcg_at_10"
"""Kept of a query where its test's main metric is not."""
Reader = Callable[[CellPaths, RunRecord], pd.DataFrame | None]


def readers(
    records: Sequence[tuple[CellPaths, RunRecord]],
    *,
    texts: bool,
    distributions: bool = True,
) -> dict[str, Reader]:
    """Return how each of `TABLES` is read of a finished cell; ``None`` where it has none."""
    first = _first_seeds(records)

    def negatives(paths: CellPaths, record: RunRecord) -> pd.DataFrame | None:
        return _negatives(paths, record, texts=texts) if record.key in first else None

    return {
        "scores": _scores,
        "difficulty": partial(_difficulty, quantiles=distributions),
        "histograms": _histograms if distributions else lambda paths, record: None,
        "negatives": negatives,
        "queries": _queries,
    }


def _checked(paths: CellPaths, record: RunRecord, name: str) -> io.BytesIO:
    """Return a cell's file, if it is the one of its record."""
    data = read_regular_file(paths.folder / name)
    check_digest(paths.folder, name, data, record.files)
    return io.BytesIO(data)


def _scores(paths: CellPaths, record: RunRecord) -> pd.DataFrame:
    table = pd.read_csv(
        _checked(paths, record, "scores.csv"),
        dtype=dict.fromkeys(SCORE_COLUMNS[:4], "str"),
        keep_default_na=False,
        na_values={"value": ["nan"]},
    )
    for name in SCORE_COLUMNS[:4]:
        table[name] = [spreadsheet_plain(text) for text in table[name]]
    return table


def _difficulty(paths: CellPaths, record: RunRecord, *, quantiles: bool) -> pd.DataFrame | None:
    if not paths.difficulty.exists():
        return None
    table = pd.read_parquet(_checked(paths, record, paths.difficulty.name))
    left_out = () if quantiles and set(QUANTILES) & set(table.columns) else QUANTILES
    kept = [c for c in TABLES["difficulty"] if c not in left_out]
    table = table.reindex(columns=kept)
    values = {c: rounded(table[c].to_numpy(dtype=np.float64)) for c in kept if c in _DIFFICULTY}
    return table.astype({"step": np.int32}).assign(**values)


def _histograms(paths: CellPaths, record: RunRecord) -> pd.DataFrame | None:
    """The first and the last two steps: counts are cumulative, and only these are drawn."""
    if not paths.histograms.exists():
        return None
    table = pd.read_parquet(_checked(paths, record, paths.histograms.name))
    steps = sorted(table["step"].unique())
    kept = table[table["step"].isin({steps[0], *steps[-2:]})] if steps else table
    return kept.astype({"step": np.int32, "bin_low": np.float32, "count": np.float32})


def _queries(paths: CellPaths, record: RunRecord) -> pd.DataFrame | None:
    """The main metric of each query, or `QUERY_METRIC`."""
    if not paths.queries.exists():
        return None
    table = pd.read_parquet(_checked(paths, record, paths.queries.name))
    scores = _scores(paths, record)
    main = dict(scores.loc[scores["main"].astype(bool), ["task", "metric"]].to_numpy().tolist())
    kept = set(table["metric"])
    wanted = {t: m if (m := main.get(t)) in kept else QUERY_METRIC for t in table["task"].unique()}
    table = table[table["metric"] == table["task"].map(wanted)]
    values = rounded(table["value"].to_numpy(dtype=np.float64))
    return None if table.empty else table.assign(value=values)


def _first_seeds(records: Sequence[tuple[CellPaths, RunRecord]]) -> set[str]:
    """Return the keys of the cells with the lowest seed of each method, of those with negatives."""
    lowest: dict[str, tuple[int, str]] = {}
    for paths, record in records:
        if record.status == "done" and (paths.choices.exists() or paths.negatives.exists()):
            own = (int(record.cell.get("seed", 0)), record.key)
            name = method_of(record)
            lowest[name] = min(lowest.get(name, own), own)
    return {key for _, key in lowest.values()}


def _negatives(paths: CellPaths, record: RunRecord, *, texts: bool) -> pd.DataFrame | None:
    """The negatives of one cell, as they were or of its choices; ``None`` without any."""
    if paths.choices.exists():
        choices = pd.read_parquet(_checked(paths, record, paths.choices.name))
        known = None
        if texts and paths.texts.exists():
            known = pd.read_parquet(_checked(paths, record, paths.texts.name))
        table = negatives_of(choices, known)
    else:
        table = pd.read_parquet(_checked(paths, record, paths.negatives.name))
        table = table if texts else table.assign(**dict.fromkeys(TEXTS, ""))
    table = excerpt(table)
    for name in ("weight", "similarity", "positive_similarity"):
        table[name] = rounded(table[name].to_numpy(dtype=np.float64))
    return None if table.empty else table


def rounded(values: np.ndarray[Any, Any], digits: int = DIGITS) -> np.ndarray[Any, Any]:
    """Values to so many significant digits, as float32; what is not finite stays."""
    finite = np.isfinite(values) & (values != 0)
    safe = np.where(finite, values, 1.0)
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(safe))))
    return np.where(finite, np.round(safe * scale) / scale, values).astype(np.float32)
