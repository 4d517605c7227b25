"""Differences paired by query: what the queries of a retrieval test say, with one seed or several.

The difference of two methods at a query is the mean over the seeds that both have. Its variance
over queries and, where there are several seeds, over seeds are added: an interval is then about
other queries and other seeds, and a little too wide, because noise counts in both. All intervals of
a group hold at once; their width is the largest difference of all methods when queries are drawn
again together.

Source: Smucker, Allan, Carterette 2007, A comparison of statistical significance tests for
information retrieval evaluation (pairing by query). https://doi.org/10.1145/1321440.1321528
Source: Owen 2007, The pigeonhole bootstrap (queries and seeds as two crossed samples).
https://arxiv.org/abs/0712.1111
Source: Romano, Wolf 2005, Exact and approximate stepdown methods for multiple hypothesis testing
(the largest of all differences, by the bootstrap). https://doi.org/10.1198/016214504000000539
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsbench.analysis.statistics.simultaneous import normal_score, t_value
from nsbench.analysis.statistics.stats import Array

LEAST_QUERIES = 20
"""Fewer queries give no interval."""
DRAWS = 5_000
_AT_ONCE = 4_000_000  # numbers of a block of draws
_SEED = 20_261_126
_ROUNDING = 1e-12


@dataclass(frozen=True)
class ByQuery:
    """Differences of M methods to their baselines; NaN where there is none.

    Attributes:
        mean: Mean over seeds and queries, shape (M,).
        difference: Mean difference to the baseline, shape (M,).
        half: Half the width of its simultaneous interval, shape (M,).
        p: Its corrected p, shape (M,).
        seeds: Seeds that a method shares with its baseline, shape (M,).
        higher: Share of the queries at which the method is better than its baseline, shape (M,).
        lower: Share at which it is worse, shape (M,).
    """

    mean: Array
    difference: Array
    half: Array
    p: Array
    seeds: NDArray[np.int64]
    higher: Array
    lower: Array


def by_query(values: Array, reference: Sequence[int | None], *, alpha: float = 0.05) -> ByQuery:
    """Compare methods with their baselines, query by query.

    Args:
        values: Scores, shape (M, S, Q); NaN where a seed is missing, with all of its queries.
        reference: Index of each method's baseline: its own, or ``None`` where there is none.
        alpha: Chance that any interval misses its truth, in (0, 1).

    Raises:
        ValueError: If alpha is out of range.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")
    size, _, queries = values.shape
    nothing = np.full(size, np.nan)
    difference, higher, lower = nothing.copy(), nothing.copy(), nothing.copy()
    seeds = np.zeros(size, dtype=np.int64)
    apart = np.zeros((size, queries))
    of_queries, of_seeds = nothing.copy(), nothing.copy()  # variances of the mean difference
    there = np.asarray(np.isfinite(values).all(axis=2))  # (M, S)
    for method, base in enumerate(reference):
        if base is None or base == method or not queries:
            continue
        shared = there[method] & there[base]
        seeds[method] = shared.sum()
        if not seeds[method]:
            continue
        gaps = values[method, shared] - values[base, shared]  # (seeds, Q)
        gaps[np.abs(gaps) < _ROUNDING] = 0.0
        each = gaps.mean(axis=0)
        difference[method] = each.mean()
        higher[method], lower[method] = (each > 0).mean(), (each < 0).mean()
        of_queries[method] = each.var(ddof=1) / queries if queries > 1 else np.nan
        if of_queries[method] > 0:
            apart[method] = (each - each.mean()) / np.sqrt(of_queries[method])
        if seeds[method] > 1:
            of_seeds[method] = gaps.mean(axis=1).var(ddof=1) / seeds[method]
    error, freedom = _joined(of_queries, of_seeds, seeds, queries)
    able = np.isfinite(error) & (queries >= LEAST_QUERIES)
    moving = able & (error > 0)
    half, p = nothing.copy(), nothing.copy()
    half[able], p[able] = 0.0, np.where(difference[able] == 0, 1.0, 0.0)
    if moving.any():
        largest = _largest(apart[moving])
        critical = np.round(largest[int(np.ceil((1 - alpha) * (DRAWS + 1))) - 1], 3)
        half[moving] = t_value(critical, freedom[moving]) * error[moving]
        score = normal_score(np.abs(difference[moving]) / error[moving], freedom[moving])
        above = DRAWS - np.searchsorted(largest, score, side="left")
        p[moving] = (1 + above) / (DRAWS + 1)
    mean = np.array(
        [v[t].mean() if t.any() and queries else np.nan for v, t in zip(values, there, strict=True)]
    )
    return ByQuery(mean, difference, half, p, seeds, higher, lower)


def _joined(
    of_queries: Array, of_seeds: Array, seeds: NDArray[np.int64], queries: int
) -> tuple[Array, Array]:
    """Standard errors of mean differences, and their degrees of freedom (Satterthwaite's).

    Args:
        of_queries: Variance of each over queries, shape (M,).
        of_seeds: Variance of each over seeds, shape (M,); NaN with a single one. Few seeds make it
            small by luck, so that no method's counts as less than the mean of all.
        seeds: Seeds of each, shape (M,).
        queries: Q.
    """
    known = np.isfinite(of_seeds)
    mean = float(of_seeds[known].mean()) if known.any() else 0.0
    second = np.where(known, np.maximum(of_seeds, mean), 0.0)
    whole = of_queries + second
    share = of_queries**2 / max(queries - 1, 1) + second**2 / np.maximum(seeds - 1, 1)
    return np.sqrt(whole), np.where(share > 0, whole**2 / np.where(share > 0, share, 1.0), 1.0)


def _largest(apart: Array) -> Array:
    """The largest difference of all methods in every draw of the queries, ascending.

    Args:
        apart: Differences by query, centred, in units of the error of their mean, shape (M, Q).
    """
    queries = apart.shape[1]
    rng = np.random.default_rng(_SEED)
    out = np.empty(DRAWS)
    step = max(1, _AT_ONCE // queries)
    even = np.full(queries, 1 / queries)
    for start in range(0, DRAWS, step):
        count = rng.multinomial(queries, even, size=min(step, DRAWS - start))  # (draws, Q)
        out[start : start + step] = np.abs(count @ apart.T / queries).max(axis=1)
    return np.sort(out)
