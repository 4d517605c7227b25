"""All scores as one file: CSV with every column of the cell, or parquet, which is smaller."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.read.columns import IDENTITY
from nsbench.analysis.read.leakage import LEAKS
from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.text import safe_texts
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.records import SCORE_COLUMNS

MOST = 100_000
"""Most scores in ``scores.csv``, whose lines have some two thousand characters."""
_AT_ONCE = 20_000
FILES = ("scores.csv", "scores.parquet", "cells.parquet")


def write_scores(results: Results, out: Path, *, most: int = MOST) -> list[Path]:
    """Write ``scores.csv``, or two parquet files joined by ``key`` for more than ``most`` scores.

    Files of the other form are removed from the results folder.
    """
    if len(results.scores) <= most:
        written = [out / "scores.csv"]
        write_atomically(written[0], map(str.encode, csv_pieces(results)))
    else:
        written = [out / name for name in FILES[1:]]
        for path, table in zip(written, (results.scores, _storable(results.cells)), strict=True):
            buffer = io.BytesIO()
            table.to_parquet(buffer, index=False, compression="zstd")
            write_atomically(path, buffer.getvalue())
    for name in FILES:
        if out / name not in written:
            (out / name).unlink(missing_ok=True)
    return written


def csv_pieces(results: Results) -> Iterator[str]:
    """Yield the text of ``scores.csv`` in pieces: identity, score, leakage, rest of the cell."""
    scanned = any(cell.record is not None and cell.record.leakage for cell in results.loaded)
    rest = [c for c in results.cells.columns if c not in (*IDENTITY, *LEAKS)]
    for start in range(0, max(1, len(results.scores)), _AT_ONCE):
        scores = results.scores.iloc[start : start + _AT_ONCE].reset_index(drop=True)
        places = scores["key"].cat.codes.to_numpy()
        cells = results.cells.take(places).reset_index(drop=True)
        leaks = [_leaks(results, places, scores["task"])] if scanned else []
        parts = [cells[list(IDENTITY)], scores[list(SCORE_COLUMNS)], *leaks, cells[rest]]
        table = safe_texts(pd.concat(parts, axis=1))
        yield table.to_csv(index=False, header=start == 0, lineterminator="\n")


def _leaks(results: Results, places: Iterable[int], tasks: Iterable[str]) -> pd.DataFrame:
    """Return the leakage of each score's task, as the record of its cell has it."""
    found = []
    for place, task in zip(places, tasks, strict=True):
        record = results.loaded[place].record
        found.append({} if record is None else results.columns.leaks(record, str(task)))
    return pd.DataFrame(found, columns=list(LEAKS))


def _storable(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the table with columns of several types as text, as parquet requires."""
    mixed: dict[str, Any] = {
        name: [None if pd.isna(v) else str(v) for v in cells[name]]
        for name in cells.columns
        if cells[name].dtype == object and cells[name].map(type).nunique() > 1
    }
    return cells.assign(**mixed)
