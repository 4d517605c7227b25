"""Scores of cells: read, kept in little room, and as tidy tables.

A large matrix has millions of scores in a few layouts: the same tasks, splits and metrics for
cell after cell. A layout is kept once, a cell keeps its values.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.statistics.stats import Array
from nsbench.benchmarks.files import read_regular_file
from nsbench.benchmarks.keys import spreadsheet_plain
from nsbench.benchmarks.records import SCORE_COLUMNS, CellPaths, RecordError
from nsbench.benchmarks.records.digests import check_digest

ScoreRow = tuple[str, str, str, str, float, int, bool]
_TEXTS = SCORE_COLUMNS[: SCORE_COLUMNS.index("value")]

Layout = tuple[tuple[str, str, str, str, int, bool], ...]
"""Task, split, subset, metric, ``n_examples`` and ``main`` of each row of a ``scores.csv``."""


@dataclass(frozen=True, eq=False)
class CellScores:
    """The scores of one cell, as rows of `SCORE_COLUMNS`.

    Attributes:
        layout: The rows without values; one object for all cells with equal ones.
        values: One per row of the layout.
    """

    layout: Layout
    values: Array

    def __iter__(self) -> Iterator[ScoreRow]:
        for (*texts, n, main), value in zip(self.layout, self.values.tolist(), strict=True):
            yield (*texts, value, n, main)

    def __len__(self) -> int:
        return len(self.values)


NO_SCORES = CellScores((), np.empty(0))


class ScoreReader:
    """Reads ``scores.csv`` of many cells; equal rows share their layout."""

    def __init__(self) -> None:
        self._layouts: dict[Any, Layout] = {}

    def read(self, paths: CellPaths, files: Mapping[str, str] | None = None) -> CellScores:
        """Read the scores of one cell.

        Args:
            paths: Its files.
            files: SHA-256 by name, of its record; a file that it does not name is believed.

        Raises:
            RecordError: If the file is missing, cut short, lacks a column, or is not the one that
                the record names.
        """
        path = f"{paths.folder}/scores.csv"
        try:
            raw = read_regular_file(path)
            found = self._parsed(path, raw.decode())
        except RecordError:
            raise
        except (OSError, csv.Error, IndexError, ValueError) as error:
            raise RecordError(f"cannot read {path}: {error}") from None
        check_digest(paths.folder, "scores.csv", raw, files or {})
        return found

    def _parsed(self, path: str, text: str) -> CellScores:
        if not text.endswith("\n"):
            raise RecordError(f"{path} is cut short: its last line does not end")
        header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        if absent := [c for c in SCORE_COLUMNS if c not in header]:
            raise RecordError(f"{path} lacks the columns {', '.join(absent)}")
        place = [header.index(c) for c in SCORE_COLUMNS]
        *texts, value, n, main = (tuple(line[i] for line in lines if line) for i in place)
        layout = self._layout((*texts, n, main))
        return CellScores(layout, np.array(list(map(float, value)), dtype=np.float64))

    def _layout(self, columns: tuple[tuple[str, ...], ...]) -> Layout:
        if columns not in self._layouts:
            *texts, n, main = columns
            names = [map(spreadsheet_plain, column) for column in texts]
            flags = (flag.strip().lower() == "true" for flag in main)
            self._layouts[columns] = tuple(zip(*names, map(int, n), flags, strict=True))
        return self._layouts[columns]


def score_table(scores: Sequence[CellScores], keys: Sequence[str]) -> pd.DataFrame:
    """Return one row per score: the cell's key, then `SCORE_COLUMNS`; texts are categories.

    Args:
        scores: Of every cell.
        keys: Their keys, each once; the categories of ``key``, in this order.
    """
    layouts = {id(s.layout): s.layout for s in scores}
    rows = list(dict.fromkeys(row for layout in layouts.values() for row in layout))
    place = {row: i for i, row in enumerate(rows)}
    codes = {k: np.array([place[r] for r in v], dtype=np.int32) for k, v in layouts.items()}
    which = np.concatenate([np.empty(0, np.int32), *(codes[id(s.layout)] for s in scores)])
    columns: dict[str, Any] = {
        "key": pd.Categorical.from_codes(
            np.repeat(np.arange(len(keys), dtype=np.int32), [len(s) for s in scores]),
            categories=pd.Index(pd.Series(list(keys), dtype="str")),
        )
    }
    for i, name in enumerate(_TEXTS):
        columns[name] = pd.Categorical([row[i] for row in rows]).take(which)
    columns["value"] = np.concatenate([np.empty(0), *(s.values for s in scores)])
    columns["n_examples"] = np.array([row[-2] for row in rows], dtype=np.int64)[which]
    columns["main"] = np.array([row[-1] for row in rows], dtype=bool)[which]
    return pd.DataFrame(columns)
