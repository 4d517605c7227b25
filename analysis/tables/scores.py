"""All scores as one file: CSV with every column of the cell, or parquet, which is smaller."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.columns import IDENTITY
from nsbench.analysis.read.leakage import LEAKS
from nsbench.analysis.read.load import Results
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import spreadsheet_safe
from nsbench.benchmarks.records import SCORE_COLUMNS

MOST = 100_000
"""Most scores in ``scores.csv``, whose lines have some two thousand characters."""
_AT_ONCE = 2_000
FILES = ("scores.csv", "scores.parquet", "cells.parquet")


def write_scores(results: Results, out: Path, *, most: int = MOST) -> list[Path]:
    """Write ``scores.csv``, or two parquet files joined by ``key`` for more than ``most`` scores.

    Files of the other form are removed from the results folder.
    """
    if len(results.scores) <= most:
        written = [out / "scores.csv"]
        write_atomically(written[0], (line.encode() for line in csv_lines(results)))
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


def csv_lines(results: Results) -> Iterator[str]:
    """Yield the text of ``scores.csv`` in pieces: identity, score, leakage, the rest of the cell.

    A cell's columns are formatted once, not once for every score.
    """
    scanned = any(cell.record is not None and cell.record.leakage for cell in results.loaded)
    leaks = list(LEAKS) if scanned else []
    before = list(IDENTITY)
    after = [c for c in results.cells.columns if c not in (*IDENTITY, *LEAKS)]
    names = [*before, *SCORE_COLUMNS, *leaks, *after]
    yield _line([*map(spreadsheet_safe, names)]) + "\n"
    codes = results.scores["key"].cat.codes.to_numpy()
    ends = np.searchsorted(codes, np.arange(len(results.cells) + 1))
    for start in range(0, len(results.cells), _AT_ONCE):
        cells = results.cells.iloc[start : start + _AT_ONCE]
        own = results.scores.iloc[ends[start] : ends[min(start + _AT_ONCE, len(results.cells))]]
        left, right = (_rows(cells, columns) for columns in (before, after))
        middle = _rows(own, SCORE_COLUMNS)
        out = []
        places = codes[ends[start] : ends[start] + len(own)]
        for place, task, text in zip(places, own["task"], middle, strict=True):
            line = f"{left[place - start]},{text}"
            if leaks:
                record = results.loaded[place].record
                found = {} if record is None else results.columns.leaks(record, str(task))
                line += "," + _line([_text(found.get(c)) for c in leaks])
            out.append(f"{line},{right[place - start]}\n" if after else f"{line}\n")
        yield "".join(out)


def _rows(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the rows of a table as lines of CSV, each distinct value formatted once."""
    texts: list[list[str]] = []
    for name in columns:
        codes, values = pd.factorize(table[name], use_na_sentinel=True)
        words = [_quoted(_text(v)) for v in values] + [""]  # the last is what -1 finds
        texts.append([words[c] for c in codes])
    return [",".join(row) for row in zip(*texts, strict=True)]


def _text(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float):
        return repr(float(value))
    return spreadsheet_safe(value) if isinstance(value, str) else str(value)


def _line(texts: Sequence[str]) -> str:
    return ",".join(map(_quoted, texts))


def _quoted(text: str) -> str:
    if not any(c in text for c in ',"\r\n'):
        return text
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([text])
    return out.getvalue()


def _storable(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the table with columns of several types as text, as parquet requires."""
    mixed: dict[str, Any] = {
        name: [None if pd.isna(v) else str(v) for v in cells[name]]
        for name in cells.columns
        if cells[name].dtype == object and cells[name].map(type).nunique() > 1
    }
    return cells.assign(**mixed)
