"""Leaderboards and findings on a terminal, and aligned in the same way in a pipe."""

from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from nsbench.analysis.read.leakage import leakage_words
from nsbench.analysis.statistics.verdicts import BETTER, WORSE
from nsbench.analysis.tables.by_query import ABOUT, TEST_COLUMNS
from nsbench.analysis.tables.leaderboard import Leaderboard, words
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.text import percent, records
from nsbench.analysis.tables.write import UNITS, findings_of, of_pool, shown
from nsbench.benchmarks.cli.console import SafeConsole, echo, out
from nsbench.benchmarks.keys import visible

ROWS = 100
"""Rows shown of a table with over twice as many."""
_WIDE = 100_000
_COLOURS = {BETTER: "green", WORSE: "red"}


def show_findings(board: Leaderboard, pools: int | None = None) -> None:
    """Print the findings of the first few comparison groups, of all if ``None``."""
    for statistics in board.pools[:pools]:
        _section(statistics.title, findings_of(board, statistics))
    _more(board, pools)


def show_leaderboard(board: Leaderboard, pools: int | None = None) -> None:
    """Print findings, a table and notes of the first few comparison groups, of all if ``None``."""
    _line(f"{UNITS} \u00b1 is half of a 95 % interval.\n")
    for statistics in board.pools[:pools]:
        _section(statistics.title, findings_of(board, statistics))
        rows, averaged = of_pool(board.rows, statistics), of_pool(board.samplers, statistics)
        _table(rows, "")
        if rows["augmentation"].nunique() > 1:
            _table(averaged, "Mean over augmentations")
        _line(words(statistics) + "\n")
        _section("Notes", statistics.notes)
    _more(board, pools)
    _section("Training text and evaluation sets", leakage_words(board.leakage))
    _section("Left out", board.notes)


def show_by_query(table: pd.DataFrame) -> None:
    """Print a `query_table`, an aligned table for each comparison group and test."""
    if table.empty:
        _line("No finished cell has scores by query: only retrieval and reranking tests give them.")
        return
    for (pool, task, split, _, metric), rows in table.groupby(["pool", *TEST_COLUMNS], sort=False):
        _line(Text(visible(str(pool)), style="bold"))
        title = f"{task}, {split}: {metric} over {rows['n_queries'].iloc[0]:,} queries"
        text = pd.DataFrame(
            {
                "method": methods(rows),
                "mean": [f"{v:.2f}" for v in rows["mean"]],
                "difference": [
                    _plus_minus(d, h, "{:+.2f}")
                    for d, h in zip(rows["difference"], rows["difference_high"], strict=True)
                ],
                "better": [percent(v) for v in rows["higher"]],
                "worse": [percent(v) for v in rows["lower"]],
                "seeds": [f"{n}" for n in rows["n_seeds"]],
                "verdict": list(rows["verdict"]),
            }
        )
        _print(text, rows["verdict"], title)
    _line(ABOUT + "\n")


def show_alarms(alarms: pd.DataFrame) -> None:
    """Print an `alarm_table`, one line for each alarm and sampler."""
    _section(
        "Alarms",
        [
            f"{row['name']}: {row['sampler']}, {row['cells']} of {row['of']} cells: {row['text']}"
            for row in records(alarms)
        ],
    )


def _table(rows: pd.DataFrame, title: str) -> None:
    """Print rank, method, mean, difference, verdict and alarm of some rows."""
    few = rows.head(ROWS) if len(rows) > 2 * ROWS else rows
    _print(screen_rows(few), few["verdict"], title)
    if left := len(rows) - len(few):
        _line(f"and {left:,} more rows in leaderboard.csv\n")


def _print(text: pd.DataFrame, verdicts: "pd.Series[Any]", title: str) -> None:
    """Print rows of texts as an aligned table, coloured by their verdicts."""
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for column in map(str, text):
        right = column not in ("method", "verdict", "alarm")
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    for verdict, row in zip(verdicts, records(text), strict=True):
        cells = [Text(visible(str(value)), overflow="fold") for value in row.values()]
        table.add_row(*cells, style=_COLOURS.get(verdict, ""))
    if out.is_terminal:
        out.print(table)
    else:
        wide = SafeConsole(highlight=False, width=_WIDE)
        with wide.capture() as printed:
            wide.print(table)
        echo("\n".join(line.rstrip() for line in printed.get().splitlines()))


def screen_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows of a leaderboard in words, one column for all that names a method.

    Columns on seeds, and on failed, missing and skipped cells, are there where rows differ.
    """
    text, _ = shown(table, ())
    rows = records(table)
    columns: dict[str, list[str]] = {
        "rank": list(text["rank"]),
        "method": methods(table),
        "mean": [_plus_minus(r["mean"], r["ci_high"], "{:.2f}") for r in rows],
        "difference": [_plus_minus(r["difference"], r["difference_high"], "{:+.2f}") for r in rows],
        "verdict": list(text["verdict"]),
    }
    for name in ("seeds", "failed", "missing", "skipped"):
        if name in text and text[name].nunique() > 1:
            columns[name] = list(text[name])
    if "alarm" in text:
        columns["alarm"] = list(text["alarm"])
    return pd.DataFrame(columns)


def methods(table: pd.DataFrame) -> list[str]:
    """Return one name per row: the method's, and its augmentation where rows differ in it."""
    names = method_names(table)
    if table["augmentation"].nunique() < 2:
        return names
    return [f"{n} x {a}" if a else n for n, a in zip(names, table["augmentation"], strict=True)]


def _plus_minus(middle: float, high: float, form: str) -> str:
    """Return a number with half the width of its interval, which is symmetric."""
    if pd.isna(middle):
        return ""
    return form.format(middle) + ("" if pd.isna(high) else f" \u00b1{high - middle:.2f}")


def _section(title: str, lines: Any) -> None:
    """Print a heading and a list, if there is anything in it."""
    if lines := list(lines):
        _line(Text(visible(title), style="bold"))
        for line in lines:
            _line(f"- {line}")
        _line("")


def _line(text: str | Text) -> None:
    plain = Text(visible(text)) if isinstance(text, str) else text
    out.print(plain, soft_wrap=True)


def _more(board: Leaderboard, pools: int | None) -> None:
    shown_ = len(board.pools) if pools is None else pools
    if left := len(board.pools[shown_:]):
        _line(f"and {left} more encoders, data sets or budgets in tables/leaderboard.md\n")
