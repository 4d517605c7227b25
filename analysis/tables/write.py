"""Leaderboards as CSV, Markdown and LaTeX; every cell of text is escaped for where it goes."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.leakage import leakage_words
from nsbench.analysis.read.load import Results
from nsbench.analysis.statistics.verdicts import BETTER, MOST_SEEDS, UNDECIDED
from nsbench.analysis.tables.axes import AXES
from nsbench.analysis.tables.findings import findings
from nsbench.analysis.tables.leaderboard import Leaderboard, PoolStatistics, words
from nsbench.analysis.tables.scores import write_scores
from nsbench.benchmarks.files import write_atomically

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
_SHOWN = (
    *("rank", "rank_lo", "rank_hi", "mean", "ci_low", "ci_high"),
    *("difference", "difference_low", "difference_high", "p_adjusted"),
    *("verdict", "more_seeds", "alarms", "mean_ranked"),
    *("n_seeds", "n_failed", "n_missing", "n_skipped"),
)
DOCUMENT = 100
"""Rows of a table in a document, where the leaderboard has over twice as many: nobody reads more
there, and leaderboard.csv has them all."""
UNITS = "All scores, means, intervals and differences are in points: 100 times the stored score."


def csv_text(table: pd.DataFrame) -> str:
    """CSV with six significant digits, so that rounding in the last bits never shows."""
    floats: dict[str, Any] = {  # pandas' own float_format asks of every value whether it is missing
        str(name): ["" if math.isnan(v) else f"{v:.6g}" for v in table[name].tolist()]
        for name, kind in table.dtypes.items()
        if kind in (np.float64, np.float32)
    }
    return table.assign(**floats).to_csv(index=False, lineterminator="\n")


def markdown_text(text: object) -> str:
    """A cell's text, free of what Markdown or HTML would take for markup."""
    plain = re.sub(r"\s+", " ", str(text)).strip()
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", plain)


def unescaped(markdown: str) -> str:
    """A document as a terminal shows it: without the backslashes of `markdown_text`."""
    return re.sub(r"\\([\\`*_|<>\[\]])", r"\1", markdown)


def latex_text(text: object) -> str:
    """A cell's text for LaTeX."""
    plain = re.sub(r"\s+", " ", str(text)).strip()
    return "".join(_LATEX.get(c, c) for c in plain)


def shown(table: pd.DataFrame, tasks: tuple[str, ...]) -> tuple[pd.DataFrame, pd.Series]:
    """The leaderboard as people read it, in text, and which rows are better than the baseline.

    Columns that say the same in every row (encoder, data) are left to the caption.
    """
    needed = [*_SHOWN, *tasks, *(c for c in ("encodes", "wall_s") if c in table)]
    rows = records(table[needed])
    out: dict[str, list[str]] = {"rank": [_rank(r) for r in rows]}
    out["group"] = list(table["group"])
    between = list(table.columns[list(table.columns).index("group") + 1 :])
    for column in between[: between.index("n_seeds")]:
        if column in ("sampler", "augmentation") or varies(table[column]):
            out[column] = ["" if pd.isna(v) else f"{v}" for v in table[column]]
    out["mean"] = [_interval(r, "mean", "ci_low", "ci_high") for r in rows]
    out["difference"] = [
        _interval(r, "difference", "difference_low", "difference_high", signed=True) for r in rows
    ]
    out["p"] = [_p(r["p_adjusted"]) for r in rows]
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
    if row["verdict"] != UNDECIDED:
        return str(row["verdict"])
    more = row["more_seeds"]
    if pd.isna(more):
        return f"{UNDECIDED}: over {MOST_SEEDS} more seeds"
    return f"{UNDECIDED}: {more} more seed{'' if more == 1 else 's'}"


def varies(values: "pd.Series[Any]") -> bool:
    """Whether a column tells rows apart; blanks are the untrained encoder's and do not count."""
    return values[values.notna() & (values != "")].nunique() > 1


def markdown_table(table: pd.DataFrame, tasks: tuple[str, ...], most: int = DOCUMENT) -> str:
    """A Markdown table; means of methods better than the baseline are bold.

    Args:
        table: Rows of a leaderboard, best first.
        tasks: Its task columns.
        most: Rows shown of a table with over twice as many; how many more there are is said.
    """
    few = table.head(most) if len(table) > 2 * most else table
    text = _render(
        *shown(few, tasks),
        escape=markdown_text,
        bold=lambda text: f"**{text}**",
        row=lambda cells: "| " + " | ".join(cells) + " |",
        rule=lambda n: "| " + " | ".join(["---"] * n) + " |",
    )
    left = len(table) - len(few)
    return f"{text}\n\nand {left:,} more rows in leaderboard.csv" if left else text


def latex_table(table: pd.DataFrame, tasks: tuple[str, ...], most: int = DOCUMENT) -> str:
    """A LaTeX tabular for booktabs; means of methods better than the baseline are bold.

    Args:
        table: Rows of a leaderboard, best first.
        tasks: Its task columns.
        most: Rows of a table with over twice as many.
    """
    text, marked = shown(table.head(most) if len(table) > 2 * most else table, tasks)
    body = _render(
        text,
        marked,
        escape=latex_text,
        bold=lambda cell: rf"\textbf{{{cell}}}",
        row=lambda cells: " & ".join(cells) + r" \\",
        rule=lambda n: r"\midrule",
    )
    labels = ("rank", "group", "sampler", "augmentation", "objective")
    columns = "".join("l" if c in labels else "r" for c in text)
    return "\n".join(
        [
            r"\begin{tabular}{" + columns + "}",
            r"\toprule",
            body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def markdown_document(board: Leaderboard, most: int = DOCUMENT, pools: int | None = None) -> str:
    """The whole leaderboard in Markdown: units, both tables, statistics in words, what is left out.

    A pool with an encoder or data of its own gets tables of its own.

    Args:
        board: The leaderboard.
        most: See `markdown_table`.
        pools: How many of its pools, the first ones; all without it.
    """
    parts = ["# Leaderboard", "", UNITS + " Brackets hold 95 % intervals.", ""]
    for statistics in board.pools[:pools]:
        rows, marginal = of_pool(board.rows, statistics), of_pool(board.samplers, statistics)
        parts += [f"## {markdown_text(statistics.title)}", "", markdown_text(words(statistics)), ""]
        lines = findings(rows, marginal, statistics, of_pool(board.axes, statistics))
        parts += _notes("Findings", tuple(lines))
        parts += ["### Sampler by augmentation", ""]
        parts += [markdown_table(rows, board.tasks, most), ""]
        parts += [
            "### Mean over augmentations",
            "",
            markdown_table(marginal, board.tasks, most),
            "",
        ]
        parts += _notes("Notes", statistics.notes)
    if left := len(board.pools[len(board.pools) if pools is None else pools :]):
        parts += [f"And {left} more encoders, data sets or budgets in tables/leaderboard.md.", ""]
    parts += _notes("Training text and evaluation sets", tuple(leakage_words(board.leakage)))
    parts += _notes("Left out", board.notes)
    return "\n".join(parts).rstrip() + "\n"


def latex_document(board: Leaderboard) -> str:
    """One commented tabular per pool, to be input into a paper."""
    parts = [f"% {UNITS}", "% Needs booktabs. Brackets hold 95 % intervals.", ""]
    for statistics in board.pools:
        comment = " ".join(f"{statistics.title}: {words(statistics)}".split())
        parts += [f"% {comment}", latex_table(of_pool(board.rows, statistics), board.tasks)]
    return "\n".join(parts)


def write_leaderboard(
    results: Results, board: Leaderboard, out: Path, *, scores: bool = True
) -> list[Path]:
    """Write all forms of the leaderboard.

    Args:
        results: As loaded.
        board: The leaderboard made of them.
        out: The results folder.
        scores: Whether every single score is written too.

    Returns:
        ``leaderboard.csv``, ``leaderboard_samplers.csv``, ``leaderboard_<axis>.csv`` for each
        axis that varies, ``leakage.csv``, ``leaderboard.md`` and
        ``.tex`` under ``tables``, and what `nsbench.analysis.tables.scores.write_scores` writes.
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


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each by name of column."""
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def of_pool(table: pd.DataFrame, statistics: PoolStatistics) -> pd.DataFrame:
    """The rows of one pool."""
    return table[table["pool"] == statistics.title]


def _notes(title: str, lines: tuple[str, ...]) -> list[str]:
    return [f"### {title}", "", *(f"- {markdown_text(n)}" for n in lines), ""] if lines else []


def _render(
    text: pd.DataFrame,
    marked: "pd.Series[bool]",
    *,
    escape: Callable[[object], str],
    bold: Callable[[str], str],
    row: Callable[[list[str]], str],
    rule: Callable[[int], str],
) -> str:
    lines = [row([escape(c) for c in text]), rule(len(text.columns))]
    for record, strong in zip(records(text), marked, strict=True):
        cells: Mapping[str, Any] = {k: escape(v) for k, v in record.items()}
        lines.append(row([bold(v) if strong and k == "mean" else v for k, v in cells.items()]))
    return "\n".join(lines)


def _rank(row: Mapping[str, Any]) -> str:
    if pd.isna(row["rank"]):
        return "-"
    low, high = row["rank_lo"], row["rank_hi"]
    return f"{row['rank']}" if pd.isna(low) or low == high else f"{row['rank']} ({low}-{high})"


def _interval(row: Mapping[str, Any], mean: str, low: str, high: str, signed: bool = False) -> str:
    if pd.isna(row[mean]):
        return ""
    sign = "+" if signed else ""
    centre = f"{row[mean]:{sign}.2f}"
    return centre if pd.isna(row[low]) else f"{centre} [{row[low]:.2f}, {row[high]:.2f}]"


def _p(value: float) -> str:
    if pd.isna(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float, places: int = 2) -> str:
    return "" if pd.isna(value) else f"{value:.{places}f}"
