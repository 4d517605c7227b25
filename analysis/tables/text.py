"""Tables as text: CSV, Markdown and LaTeX, each cell escaped for its format, and their files."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import spreadsheet_plain, spreadsheet_safe, visible

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def csv_text(table: pd.DataFrame) -> str:
    """Return CSV with six significant digits, so that rounding in the last bits never shows."""
    floats: dict[str, Any] = {  # pandas' own float_format asks of every value whether it is missing
        str(name): ["" if math.isnan(v) else f"{v:.6g}" for v in table[name].tolist()]
        for name, kind in table.dtypes.items()
        if kind in (np.float64, np.float32)
    }
    safe = _texts_by(table, spreadsheet_safe).assign(**floats)
    return safe.rename(columns=spreadsheet_safe).to_csv(index=False, lineterminator="\n")


def safe_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts and columns no spreadsheet takes for formulas.

    See `nsbench.benchmarks.keys.spreadsheet_safe`; numbers stay numbers.
    """
    return _texts_by(table, spreadsheet_safe).rename(columns=spreadsheet_safe)


def plain_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table that `safe_texts` was given."""
    return _texts_by(table, spreadsheet_plain).rename(columns=spreadsheet_plain)


def _texts_by(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    changed: dict[str, Any] = {}
    for name, kind in table.dtypes.items():
        if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
            continue
        values = table[name].tolist()
        found = [change(v) if isinstance(v, str) else v for v in values]
        if any(a is not b for a, b in zip(found, values, strict=True)):
            changed[str(name)] = found
    return table.assign(**changed)


def markdown_text(text: object) -> str:
    """Return a cell's text with the characters of Markdown and HTML escaped."""
    plain = visible(re.sub(r"\s+", " ", str(text)).strip())
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", plain)


def latex_text(text: object) -> str:
    """Return a cell's text for LaTeX."""
    plain = visible(re.sub(r"\s+", " ", str(text)).strip())
    return "".join(_LATEX.get(c, c) for c in plain)


def markdown_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table; cells are written as they are."""
    every = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(map(str, row))} |" for row in every]


def with_interval(
    value: float,
    low: float,
    high: float,
    *,
    form: str = "{:.2f}",
    ends: str = " [{:.2f}, {:.2f}]",
) -> str:
    """Return a number and its interval as text; no interval if it is missing, empty if both are."""
    if pd.isna(value):
        return ""
    return form.format(value) + ("" if pd.isna(low) else ends.format(low, high))


def with_ends(row: Mapping[str, Any], name: str, **forms: str) -> str:
    """Return a number of a row and its interval as `with_interval` does."""
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], **forms)


def p_text(value: float) -> str:
    """Return a p value with three decimals, empty if it is missing."""
    if pd.isna(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def percent(share: float, places: int = 0) -> str:
    """Return a share in [0, 1] in percent, empty if it is missing."""
    return "" if pd.isna(share) else f"{100 * share:.{places}f} %"


def counted(number: int, noun: str) -> str:
    """Return ``1 seed`` or ``3 seeds``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def gap(difference: float) -> str:
    """Return a difference with its sign and one decimal, without a sign where that is zero."""
    text = f"{difference:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def some(names: Sequence[str], most: int = 5, between: str = ", ") -> str:
    """Return the first few names, and how many more there are."""
    left = len(names) - most
    return between.join(names[:most]) + (f" and {left} more" if left > 0 else "")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table, each by name of column."""
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def write_table(
    out: Path, name: str, table: pd.DataFrame, document: Callable[[pd.DataFrame], str]
) -> list[Path]:
    """Write a table as CSV and, by ``document``, as Markdown; nothing if it is empty."""
    if table.empty:
        return []
    return write_tables(out, {f"{name}.csv": csv_text(table), f"{name}.md": document(table)})


def write_tables(out: Path, files: Mapping[str, str]) -> list[Path]:
    """Write texts by name into ``tables`` of a results folder; return their paths."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_atomically(out / "tables" / name, text)
    return [out / "tables" / name for name in files]
