"""Retrieval tests by query: differences to the baseline paired by query, with verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.difficulty import CellTables
from nsbench.analysis.read.load import Results
from nsbench.analysis.statistics.by_query import LEAST_QUERIES, by_query
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.statistics.verdicts import BASELINE, verdict_of
from nsbench.analysis.tables import text
from nsbench.analysis.tables.leaderboard import POINTS, Leaderboard, baselines
from nsbench.analysis.tables.pools import METHOD_KEYS, POOL_KEYS, Pool
from nsbench.benchmarks.records.record import QUERY_COLUMNS

METRIC = "ndcg_at_10"
"""Compared where the task's main score is not kept by query."""
TEST_COLUMNS = ("task", "split", "subset", "metric")
NUMBERS = ("mean", "difference", "difference_low", "difference_high", "p", "higher", "lower")
COLUMNS = (
    *(*TEST_COLUMNS, *METHOD_KEYS, "n_queries", "n_seeds"),
    *(*NUMBERS, "verdict", *POOL_KEYS, "pool"),
)
Test = tuple[str, str, str, str]
"""Task, split, subset and metric."""
ABOUT = (
    "Scores and differences are in points. A difference to the baseline is the mean over queries "
    "of the difference at each query, which is the mean over the seeds that both methods have. "
    "Brackets hold 95 % intervals, all of a section at once, for other queries and, from two seeds "
    "on, for other seeds. Better and worse count the queries at which a method is above and below "
    f"the baseline. Under {LEAST_QUERIES} queries there is no interval and no verdict."
)


@dataclass(frozen=True)
class _Found:
    """Scores of one test: queries, and by key of the cell one value a query."""

    queries: tuple[str, ...]
    values: dict[str, Array]


def query_scores(results: Results) -> tuple[dict[Test, _Found], list[str]]:
    """Read the scores by query of every finished cell.

    Returns:
        Scores of each test of one metric, its main one where that is kept by query; and one line
        for each cell that was left out.
    """
    tables = CellTables(results, "queries", QUERY_COLUMNS)
    mains = results.scores[results.scores["main"]].drop_duplicates(["task", "metric"])
    main = dict(zip(mains["task"].astype(str), mains["metric"].astype(str), strict=True))
    found: dict[Test, _Found] = {}
    notes: list[str] = []
    for key in tables:
        table = tables.get(key)
        if table is None:
            continue
        kept = set(table["metric"].astype(str))
        wanted = {
            t: m if (m := main.get(str(t), METRIC)) in kept else METRIC for t in table["task"]
        }
        table = table[table["metric"] == table["task"].map(wanted)]
        for test, part in table.groupby(list(TEST_COLUMNS), sort=True, observed=True):
            name: Any = tuple(map(str, test))
            part = part.sort_values("query", kind="stable")
            queries = tuple(part["query"].astype(str))
            same = found.setdefault(name, _Found(queries, {}))
            if same.queries != queries:
                notes.append(f"cell {key} has other queries of {name[0]} than the cells before it")
                continue
            same.values[key] = part["value"].to_numpy(dtype=np.float64)
    return found, [*notes, *tables.left_out.values()]


def query_table(
    results: Results, every: Sequence[Pool], board: Leaderboard
) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per method and retrieval test: its difference to the baseline by query.

    Returns:
        Rows of `COLUMNS`, the best of each pool and test first; ``n_seeds`` are those shared with
        the baseline, ``higher`` and ``lower`` the shares of queries above and below it. And one
        line for each cell that was left out.
    """
    found, notes = query_scores(results)
    rows: list[dict[str, Any]] = []
    for pool, basis in zip(every, board.pools, strict=True):
        reference = baselines(pool, basis.baseline)
        for test, scores in found.items():
            values = POINTS * _array(pool, scores)
            if not np.isfinite(values).any():
                continue
            rows += _rows(pool, test, values, reference, basis.margin)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = ["pool", *TEST_COLUMNS, "mean"]
    return table.sort_values(order, ascending=[True] * 5 + [False], kind="stable"), notes


def _array(pool: Pool, scores: _Found) -> Array:
    """Scores of a pool's methods, shape (M, S, Q).

    A method of fixed weights was evaluated at one seed, whose scores count for all.
    """
    out = np.full((len(pool.methods), len(pool.seeds), len(scores.queries)), np.nan)
    cells = pool.cells
    for method, seed, key in zip(cells["method"], cells["seed"], cells["key"], strict=True):
        if (values := scores.values.get(str(key))) is not None:
            out[method, pool.seeds.index(int(seed))] = values
    for method in set(cells.loc[cells["once"], "method"]) if "once" in cells else ():
        known = np.flatnonzero(np.isfinite(out[method]).all(axis=1))
        if len(known):
            empty = np.isnan(out[method]).all(axis=1)
            out[method, empty] = out[method, known[0]]
    return out


def _rows(
    pool: Pool, test: Test, values: Array, reference: Sequence[int | None], margin: float
) -> list[dict[str, Any]]:
    compared = by_query(values, reference)
    shared = dict(zip(TEST_COLUMNS, test, strict=True)) | dict(pool.shared)
    out = []
    for place, method in enumerate(pool.methods):
        if not np.isfinite(compared.mean[place]):
            continue
        own = reference[place] == place
        gap, half = float(compared.difference[place]), float(compared.half[place])
        seeds = np.isfinite(values[place]).all(axis=1).sum() if own else compared.seeds[place]
        out.append(
            shared
            | {k: method[k] for k in METHOD_KEYS}
            | {
                "n_queries": values.shape[2],
                "n_seeds": int(seeds),
                "mean": compared.mean[place],
                "difference": gap,
                "difference_low": gap - half,
                "difference_high": gap + half,
                "p": compared.p[place],
                "higher": compared.higher[place],
                "lower": compared.lower[place],
                "verdict": BASELINE if own else verdict_of(gap, half, margin),
                "pool": pool.title,
            }
        )
    return out


def query_markdown(table: pd.DataFrame) -> str:
    """Return the table in Markdown, a section per pool and test."""
    lines = ["# Differences by query", "", ABOUT]
    headings = (
        *("sampler", "augmentation", "mean", "difference", "p", "verdict"),
        *("better", "worse", "seeds"),
    )
    for (pool, task, split, subset, metric), rows in table.groupby(
        ["pool", *TEST_COLUMNS], sort=False
    ):
        where = "" if subset == "default" else f", {subset}"
        queries = int(rows["n_queries"].iloc[0])
        lines += ["", f"## {text.markdown_text(pool)}", ""]
        lines += [
            f"{text.markdown_text(f'{task}, {split}{where}: {metric}')} over {queries:,} queries."
        ]
        lines += ["", *text.markdown_lines(headings, map(shown_row, text.records(rows)))]
    return "\n".join(lines) + "\n"


def shown_row(row: Mapping[str, Any]) -> list[str]:
    """Return a row in words and rounded numbers, escaped for Markdown."""
    signed = text.with_ends(row, "difference", form="{:+.2f}", ends=r" \[{:+.2f}, {:+.2f}\]")
    return [
        text.markdown_text(row["sampler"]),
        text.markdown_text(row["augmentation"]),
        f"{row['mean']:.2f}",
        signed,
        text.markdown_text(text.p_text(row["p"])),
        row["verdict"],
        *(text.percent(row[n]) for n in ("higher", "lower")),
        f"{row['n_seeds']}",
    ]


def write_by_query(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write ``by_query.csv`` and ``.md`` under ``tables``; nothing without scores by query."""
    return text.write_table(out, "by_query", table, query_markdown)
