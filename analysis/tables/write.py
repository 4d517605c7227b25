"""Leaderboards as CSV, Markdown and LaTeX."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.read.leakage import leakage_words
from nsbench.analysis.read.load import Results
from nsbench.analysis.statistics.verdicts import BETTER, UNDECIDED
from nsbench.analysis.tables.axes import AXES
from nsbench.analysis.tables.findings import findings, further_seeds
from nsbench.analysis.tables.leaderboard import Leaderboard, PoolStatistics, words
from nsbench.analysis.tables.scores import write_scores
from nsbench.analysis.tables.text import (
    csv_text,
    latex_text,
    markdown_lines,
    markdown_text,
    p_text,
    records,
    with_ends,
    with_interval,
)
from nsbench.benchmarks.files import write_atomically

_SHOWN = (
    *("rank", "rank_lo", "rank_hi", "mean", "ci_low", "ci_high"),
    *("difference", "difference_low", "difference_high", "p_adjusted"),
    *("verdict", "more_seeds", "alarms", "mean_ranked"),
    *("n_seeds", "n_failed", "n_missing", "n_skipped"),
)
DOCUMENT = 100
"""Rows shown of a leaderboard with over twice as many; leaderboard.csv has all."""
UNITS = "All scores, means, intervals and differences are in points: 100 times the stored score."


def shown(table: pd.DataFrame, tasks: tuple[str, ...]) -> tuple[pd.DataFrame, pd.Series]:
    """Return the leaderboard in words and rounded numbers, and a mask of the better rows.

    Columns that are the same in every row (encoder, data) are left out.
    """
    needed = [*_SHOWN, *tasks, *(c for c in ("encodes", "wall_s") if c in table)]
    rows = records(table[needed])
    out: dict[str, list[str]] = {"rank": [_rank(r) for r in rows]}
    out["group"] = list(table["group"])
    between = list(table.columns[list(table.columns).index("group") + 1 :])
    for column in between[: between.index("n_seeds")]:
        if column in ("sampler", "augmentation") or varies(table[column]):
            out[column] = ["" if pd.isna(v) else f"{v}" for v in table[column]]
    out["mean"] = [with_interval(r["mean"], r["ci_low"], r["ci_high"]) for r in rows]
    out["difference"] = [with_ends(r, "difference", form="{:+.2f}") for r in rows]
    out["p"] = [p_text(r["p_adjusted"]) for r in rows]
    out["verdict"] = [verdict_text(r) for r in rows]
    if table["alarms"].ne("").any():
        out["alarm"] = [r["alarms"] for r in rows]
    out["seeds"] = [f"{r['n_seeds']}" for r in rows]
    for name in ("failed", "missing", "skipped"):
        if table[f"n_{name}"].any():
            out[name] = [f"{r[f'n_{name}']}" for r in rows]
    for task in tasks:
        out[task] = [_number(r[task]) for r in rows]
    for cost, name in (("encodes", "encodes"), ("wall_s", "seconds")):
        if cost in table:
            out[name] = [_number(r[cost], places=0) for r in rows]
    return pd.DataFrame(out), (table["verdict"] == BETTER)


def verdict_text(row: Mapping[str, Any]) -> str:
    """A row's verdict, and what would decide an undecided one."""
    decided = row["verdict"] != UNDECIDED
    return str(row["verdict"]) if decided else f"{UNDECIDED}: {further_seeds(row['more_seeds'])}"


def varies(values: "pd.Series[Any]") -> bool:
    """Return whether a column has several values, apart from the untrained encoder's blanks."""
    return values[values.notna() & (values != "")].nunique() > 1


def markdown_table(table: pd.DataFrame, tasks: tuple[str, ...]) -> str:
    """Return a Markdown table; means of methods better than the baseline are bold."""
    few = _few(table)
    columns, rows = _escaped(few, tasks, markdown_text, bold="**{}**")
    text = "\n".join(markdown_lines(columns, rows))
    left = len(table) - len(few)
    return f"{text}\n\nand {left:,} more rows in leaderboard.csv" if left else text


def latex_table(table: pd.DataFrame, tasks: tuple[str, ...]) -> str:
    """Return a LaTeX tabular for booktabs; see `markdown_table`."""
    columns, rows = _escaped(_few(table), tasks, latex_text, bold=r"\textbf{{{}}}")
    lines = [" & ".join(row) + r" \\" for row in (columns, *rows)]
    left = ("rank", "group", "sampler", "augmentation", "objective")
    places = "".join("l" if c in left else "r" for c in columns)
    begin = r"\begin{tabular}{" + places + "}"
    head, *body = lines
    lines = [begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def _few(table: pd.DataFrame) -> pd.DataFrame:
    return table.head(DOCUMENT) if len(table) > 2 * DOCUMENT else table


def markdown_document(board: Leaderboard) -> str:
    """Return the leaderboard in Markdown: units, tables and statistics of each pool, notes."""
    parts = ["# Leaderboard", "", UNITS + " Brackets hold 95 % intervals.", ""]
    for statistics in board.pools:
        rows, marginal = of_pool(board.rows, statistics), of_pool(board.samplers, statistics)
        parts += [f"## {markdown_text(statistics.title)}", "", markdown_text(words(statistics)), ""]
        parts += _notes("Findings", tuple(findings_of(board, statistics)))
        for title, table in (
            ("Sampler by augmentation", rows),
            ("Mean over augmentations", marginal),
        ):
            parts += [f"### {title}", "", markdown_table(table, board.tasks), ""]
        parts += _notes("Notes", statistics.notes)
    parts += _notes("Training text and evaluation sets", tuple(leakage_words(board.leakage)))
    parts += _notes("Left out", board.notes)
    return "\n".join(parts).rstrip() + "\n"


def findings_of(board: Leaderboard, statistics: PoolStatistics) -> list[str]:
    """Return the findings of one comparison group, see `findings`; of a tuning study, its own."""
    if statistics.study:
        return list(statistics.study)
    rows, marginal = of_pool(board.rows, statistics), of_pool(board.samplers, statistics)
    return findings(rows, marginal, statistics, of_pool(board.axes, statistics))


def latex_document(board: Leaderboard) -> str:
    """Return one commented tabular per pool, to be input into a paper."""
    parts = [f"% {UNITS}", "% Needs booktabs. Brackets hold 95 % intervals.", ""]
    for statistics in board.pools:
        comment = " ".join(f"{statistics.title}: {words(statistics)}".split())
        parts += [f"% {comment}", latex_table(of_pool(board.rows, statistics), board.tasks)]
    return "\n".join(parts)


def write_leaderboard(
    results: Results, board: Leaderboard, out: Path, *, scores: bool = True
) -> list[Path]:
    """Write all forms of the leaderboard into a results folder; return their paths.

    These are ``leaderboard.csv``, ``leaderboard_samplers.csv``, ``leaderboard_<axis>.csv`` for each
    axis that varies, ``leakage.csv``, ``leaderboard.md`` and ``.tex`` under ``tables``, and every
    score (see `write_scores`) unless ``scores`` is off.
    """
    (out / "tables").mkdir(parents=True, exist_ok=True)
    files = {
        "leaderboard.csv": csv_text(board.rows),
        "leaderboard_samplers.csv": csv_text(board.samplers),
        "leakage.csv": csv_text(board.leakage),
        **{
            f"leaderboard_{AXES[str(axis)]}.csv": csv_text(part)
            for axis, part in board.axes.groupby("axis", sort=False)
        },
        "tables/leaderboard.md": markdown_document(board),
        "tables/leaderboard.tex": latex_document(board),
    }
    for name in (f"leaderboard_{ending}.csv" for ending in AXES.values()):
        if name not in files:
            (out / name).unlink(missing_ok=True)
    for name, text in files.items():
        write_atomically(out / name, text)
    return [*(out / name for name in files), *(write_scores(results, out) if scores else ())]


def of_pool(table: pd.DataFrame, statistics: PoolStatistics) -> pd.DataFrame:
    """Return the rows of one pool."""
    return table[table["pool"] == statistics.title]


def _notes(title: str, lines: tuple[str, ...]) -> list[str]:
    return [f"### {title}", "", *(f"- {markdown_text(n)}" for n in lines), ""] if lines else []


def _escaped(
    table: pd.DataFrame, tasks: tuple[str, ...], escape: Callable[[object], str], *, bold: str
) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of a leaderboard as escaped text, with significant means in bold."""
    text, marked = shown(table, tasks)
    rows = [[escape(v) for v in row] for row in text.to_numpy().tolist()]
    place = list(text.columns).index("mean")
    for row, strong in zip(rows, marked, strict=True):
        row[place] = bold.format(row[place]) if strong else row[place]
    return [escape(c) for c in text], rows


def _rank(row: Mapping[str, Any]) -> str:
    if pd.isna(row["rank"]):
        return "-"
    low, high = row["rank_lo"], row["rank_hi"]
    return f"{row['rank']}" if pd.isna(low) or low == high else f"{row['rank']} ({low}-{high})"


def _number(value: float, places: int = 2) -> str:
    return "" if pd.isna(value) else f"{value:.{places}f}"
