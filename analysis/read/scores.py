"""Scores of cells: read, kept in little room, and as tidy tables.

A large matrix has millions of scores in a few layouts: the same tasks, splits and metrics for
cell after cell. A layout is kept once, a cell keeps its values.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd

from nsbench.analysis.statistics.stats import Array
from nsbench.benchmarks.files import read_regular_file
from nsbench.benchmarks.keys import spreadsheet_plain
from nsbench.benchmarks.records import SCORE_COLUMNS, CellPaths, RecordError
from nsbench.benchmarks.records.digests import check_digest

ScoreRow = tuple[str, str, str, str, float, int, bool]
_HEADER = ",".join(SCORE_COLUMNS).encode()
_VALUE = SCORE_COLUMNS.index("value")
_FLAGS = frozenset((b"True", b"False"))
_TEXTS = SCORE_COLUMNS[:_VALUE]
_FLOAT = re.compile(rb",(-?\d+\.\d*(?:e[-+]\d+)?),")

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
    """Reads ``scores.csv`` of many cells; equal rows share their layout.

    The text around the values of a file, as this project writes it, is the same for all cells of a
    layout: if it is known already, only the values are read.
    """

    def __init__(self) -> None:
        self._layouts: dict[Any, Layout] = {}
        self._known: dict[bytes, Layout] = {}

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
            found = self._parsed(path, raw)
        except RecordError:
            raise
        except (OSError, csv.Error, IndexError, ValueError) as error:
            raise RecordError(f"cannot read {path}: {error}") from None
        check_digest(paths.folder, "scores.csv", raw, files or {})
        return found

    def _parsed(self, path: str, raw: bytes) -> CellScores:
        if not raw.endswith(b"\n"):
            raise RecordError(f"{path} is cut short: its last line does not end")
        pieces = _FLOAT.split(raw)  # the text around the values, and the values
        around, values = b"\0".join(pieces[::2]), pieces[1::2]
        layout = self._known.get(around)
        if layout is not None and len(values) == len(layout):
            return CellScores(layout, _floats(values))
        plain = _plain(raw)
        columns: _Columns = plain or _quoted(raw.decode(), path)
        texts, rest = columns[:_VALUE], columns[_VALUE + 1 :]
        layout = self._layout((*texts, *rest))
        if plain and plain[_VALUE] == tuple(values) and b"\0" not in raw:
            self._known[around] = layout
        return CellScores(layout, _floats(columns[_VALUE]))

    def _layout(self, columns: "_Columns") -> Layout:
        key = tuple(columns)
        if key not in self._layouts:
            *texts, n, main = [[_decoded(c) for c in column] for column in columns]
            flags = (m.strip().lower() == "true" for m in main)
            self._layouts[key] = tuple(zip(*texts, map(int, n), flags, strict=True))
        return self._layouts[key]


_Columns = Sequence[tuple[str, ...]] | Sequence[tuple[bytes, ...]]


def _floats(texts: Sequence[Any]) -> Array:
    """Numbers from their texts, strings or bytes.

    Raises:
        ValueError: If one is no number.
    """
    joined = ",".join(texts).encode() if texts and isinstance(texts[0], str) else b",".join(texts)
    with suppress(orjson.JSONDecodeError):
        if not joined.translate(None, b"0123456789.,eE+-"):  # JSON's reader takes true for a number
            return np.array(orjson.loads(b"[" + joined + b"]"), dtype=np.float64)
    return np.array(list(map(float, texts)), dtype=np.float64)


def _decoded(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode()


def _plain(raw: bytes) -> list[tuple[bytes, ...]]:
    """Return the columns of a file as this project writes it; empty if it needs a CSV reader."""
    header, _, body = raw.partition(b"\n")
    if header != _HEADER or any(sign in raw for sign in (b'"', b"'", b"\r")) or not body:
        return []
    width = len(SCORE_COLUMNS)
    fields = body[:-1].replace(b"\n", b",").split(b",")
    columns = [tuple(fields[i::width]) for i in range(width)]
    whole = len(fields) == width * body.count(b"\n") and _FLAGS.issuperset(columns[-1])
    return columns if whole else []


def _quoted(text: str, path: str) -> list[tuple[str, ...]]:
    header, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    absent = [c for c in SCORE_COLUMNS if c not in header]
    if absent:
        raise RecordError(f"{path} lacks the columns {', '.join(absent)}")
    place = [header.index(c) for c in SCORE_COLUMNS]
    rows = [[spreadsheet_plain(line[i]) for i in place] for line in lines if line]
    return list(zip(*rows, strict=True)) or [() for _ in SCORE_COLUMNS]


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
