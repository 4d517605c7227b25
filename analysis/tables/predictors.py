"""Rank correlation of difficulty statistics with the final score.

Every cell counts once: the mean of a difficulty statistic over the last quarter of its training,
and its mean score over the tasks. Within a sampler, both are ranked among the cells of one
label of sampler, and the correlations are averaged on Fisher's scale, weighted by n - 3.
Seeds of one method are no independent cases: the interval over all cells counts methods.

Source: intervals after Fisher's z with the standard error 1 / sqrt(n - 3) and the correction for
ranks of Bonett and Wright 2000, Sample size requirements for estimating Pearson, Kendall and
Spearman correlations. https://doi.org/10.1007/BF02294183
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from nsbench.analysis.read.difficulty import plain_texts
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.tables import text
from nsbench.analysis.tables.pools import Pool

LAST = 0.75
"""Statistics count from this share of the training on."""
LEAST_CELLS = 5
LEVEL = 0.95
_LEAST_WITHIN = 5
OF_OBJECTIVE = ("loss", "negative_pull", "clamp_rate", "hinge_active")
"""Statistics in units of the objective: cells are compared within one objective only."""
POINTS = 100
COLUMNS = (
    *("quantity", "rho", "low", "high", "n_cells", "n_methods", "n_samplers"),
    *("rho_within", "within_low", "within_high", "n_within", "pool"),
)


def late_rows(difficulty: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last quarter of each cell's training."""
    last = difficulty.groupby("key", observed=True)["step"].transform("max")
    return difficulty[difficulty["step"] >= LAST * last]


def late_values(difficulty: pd.DataFrame) -> pd.DataFrame:
    """Return means over the last quarter of training, a row per key and a column per quantity."""
    sums = late_rows(difficulty).groupby(["key", "quantity"], observed=True)["mean"].mean()
    return plain_texts(sums.reset_index()).pivot(index="key", columns="quantity", values="mean")


def cell_scores(pool: Pool) -> pd.Series:
    """Return mean scores over tasks in points, by key, of trained cells that have every task."""
    place = {seed: i for i, seed in enumerate(pool.seeds)}
    cells = pool.cells[(pool.cells["status"] == "done") & ~pool.cells["untrained"]]
    if not pool.tasks:
        return pd.Series(dtype=float, name="score")
    found = {
        str(row["key"]): POINTS * float(pool.scores[row["method"], place[row["seed"]]].mean())
        for row in cells.to_dict("records")
    }
    return pd.Series(found, dtype=float, name="score").dropna()


def predictor_table(pool: Pool, late: pd.DataFrame) -> pd.DataFrame:
    """Return one row per difficulty statistic, strongest first.

    Returns:
        `COLUMNS`: Spearman's correlation over all cells and within samplers, each in [-1, 1] with
        a 95 % interval, and how many cells it rests on. A statistic that does not vary is left
        out; those in `OF_OBJECTIVE` are pooled within objectives. The n of the overall interval is
        the number of methods (sampler with augmentation and all else that varies), since seeds of
        one method repeat each other.
    """
    scores = cell_scores(pool)
    late = late[late.index.isin(scores.index)]
    cells = pool.cells.drop_duplicates("key").set_index("key")
    rows = []
    for quantity in late.columns:
        values = late[quantity].dropna()
        both = pd.DataFrame({"value": values, "score": scores.reindex(values.index)}).dropna()
        both["sampler"] = cells["sampler"].reindex(both.index)
        methods = int(cells["method"].reindex(both.index).nunique())
        if len(both) < LEAST_CELLS or not _varies(both):
            continue
        both["objective"] = cells["objective"].reindex(both.index)
        if quantity in OF_OBJECTIVE and both["objective"].nunique() > 1:
            rho, low, high, _ = _within(both, ["objective"])
        else:
            rho = float(scipy_stats.spearmanr(both["value"], both["score"]).statistic)
            low, high = fisher_interval(rho, methods)
        if np.isnan(rho):
            continue
        within = _within(both, ["sampler", *(["objective"] if quantity in OF_OBJECTIVE else [])])
        n = (len(both), methods, both["sampler"].nunique())
        rows.append((quantity, rho, low, high, *n, *within, pool.title))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = table["rho"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)


def fisher_interval(rho: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of Spearman's rho over n pairs by Fisher's z; all of it below four.

    Args:
        rho: In [-1, 1].
        n: Pairs.
    """
    if n < 4:
        return -1.0, 1.0
    bounded = float(np.clip(rho, -1 + 1e-9, 1 - 1e-9))
    half = scipy_stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    centre = np.arctanh(bounded)
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def write_predictors(every: Sequence[Pool], difficulty: pd.DataFrame, out: Path) -> list[Path]:
    """Write ``tables/predictors.csv`` and ``.md``; nothing if there are too few cells."""
    late = late_values(difficulty)
    tables = [t for pool in every if not (t := predictor_table(pool, late)).empty]
    if not tables:
        return []
    whole = text.csv_text(pd.concat(tables, ignore_index=True))
    return text.write_tables(out, {"predictors.csv": whole, "predictors.md": markdown(tables)})


def markdown(tables: Sequence[pd.DataFrame]) -> str:
    """Return the tables in Markdown, one section per pool."""
    lines = [
        "# Does difficulty predict quality?",
        "",
        f"Spearman's correlation of each statistic, mean from {100 * LAST:g} % of the training "
        "on, with the cell's mean score; 95 % intervals by Fisher's z, over all cells with "
        "the number of methods for n, since seeds of one method repeat each other. A correlation "
        "between methods is no cause: they differ in more than one statistic.",
    ]
    headings = ("statistic", "over all cells", "cells", "methods", "within samplers", "cells")
    form = {"form": "{:+.2f}", "ends": " ({:+.2f} to {:+.2f})"}
    for table in tables:
        rows = [
            (
                text.markdown_text(row["quantity"]),
                text.with_interval(row["rho"], row["low"], row["high"], **form),
                *(row["n_cells"], row["n_methods"]),
                text.with_interval(
                    row["rho_within"], row["within_low"], row["within_high"], **form
                ),
                row["n_within"],
            )
            for row in text.records(table)
        ]
        lines += ["", f"## {text.markdown_text(table['pool'].iloc[0])}", ""]
        lines += text.markdown_lines(headings, rows)
    return "\n".join(lines) + "\n"


def _varies(both: pd.DataFrame) -> bool:
    spread: Array = both["value"].to_numpy()
    return bool(np.ptp(spread) > 1e-12) and both["score"].nunique() > 1


def _within(both: pd.DataFrame, keys: Sequence[str]) -> tuple[float, float, float, int]:
    """Return the pooled correlation within groups, its interval, and its number of cells."""
    total, weights, variance, cells = 0.0, 0.0, 0.0, 0
    for _, part in both.groupby(list(keys), sort=True):
        if len(part) < _LEAST_WITHIN or not _varies(part):
            continue
        rho = float(scipy_stats.spearmanr(part["value"], part["score"]).statistic)
        weight = len(part) - 3
        total += weight * float(np.arctanh(np.clip(rho, -0.999, 0.999)))
        variance += weight * (1 + rho**2 / 2)  # weight^2 times the variance of one z
        weights += weight
        cells += len(part)
    if not weights:
        return float("nan"), float("nan"), float("nan"), 0
    centre = total / weights
    half = float(scipy_stats.norm.ppf((1 + LEVEL) / 2)) * variance**0.5 / weights
    ends = np.tanh([centre, centre - half, centre + half])
    return float(ends[0]), float(ends[1]), float(ends[2]), cells
