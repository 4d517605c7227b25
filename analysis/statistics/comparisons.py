"""Classical tests: Student's paired t by seed, Holm's correction, Friedman and Nemenyi.

Tuned and default settings, and the critical-difference figure, are compared with them. Verdicts
of the leaderboard are the procedure of `verdicts`.

Source: Demšar 2006, Statistical comparisons of classifiers over multiple data sets, sections 3.1.3
and 3.2.2. https://jmlr.org/papers/v7/demsar06a.html
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from nsbench.analysis.statistics.stats import Array, nan_mean, spread, t_half_width

LEVEL = 0.95
"""Nominal coverage of the intervals of `paired`."""
_ZERO_SPREAD = 1e-12  # below this, differences are alike up to rounding


@dataclass(frozen=True)
class Paired:
    """Differences by seed with their intervals and p; every array has shape (...).

    Attributes:
        difference: Mean difference over the seeds both have; NaN without any.
        low: Lower end of Student's interval; NaN below two seeds.
        high: Upper end.
        p: Two-sided p, uncorrected; NaN below two seeds.
        n: Seeds that both have.
        spread: Standard deviation of the differences over seeds.
    """

    difference: Array
    low: Array
    high: Array
    p: Array
    n: NDArray[np.int64]
    spread: Array


def paired(a: Array, b: Array) -> Paired:
    """Compare ``a - b`` seed by seed, with Student's paired t test.

    Args:
        a: Means over tasks, shape (..., S); NaN where a seed is missing.
        b: The same, broadcast against ``a``.
    """
    values = np.asarray(a - b, dtype=np.float64)
    n = (~np.isnan(values)).sum(axis=-1)
    difference, apart, half = nan_mean(values), spread(values), t_half_width(values, LEVEL)
    p = _t_test(difference, apart, n)
    return Paired(difference, difference - half, difference + half, p, n, apart)


def holm(p: Array) -> Array:
    """Holm's step-down correction of any shape; NaN is no test and stays NaN."""
    flat = np.asarray(p, dtype=np.float64).ravel()
    out = np.full(flat.shape, np.nan)
    order = np.argsort(flat)[: int((~np.isnan(flat)).sum())]
    steps = flat[order] * (len(order) - np.arange(len(order)))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return out.reshape(np.shape(p))


def letter_runs(different: NDArray[np.bool_], order: NDArray[np.int64]) -> list[list[int]]:
    """Return runs of methods next to each other in rank without a significant difference.

    These are the bars of a critical-difference diagram: all such sets of any methods would be
    exact, but there can be exponentially many.

    Args:
        different: Pairs that differ significantly, symmetric, shape (M, M).
        order: Methods from best to worst, shape (M,).

    Returns:
        Numbers of the runs each method is in, ascending; in the methods' own order.
    """
    runs: list[list[int]] = [[] for _ in order]
    reached = end = found = 0
    for start in range(len(order)):
        end = max(end, start + 1)  # a run never ends before an earlier one
        while end < len(order) and not different[order[end], order[start:end]].any():
            end += 1
        if end > reached:
            for method in order[start:end]:
                runs[method].append(found)
            reached, found = end, found + 1
    return runs


def friedman_p(scores: Array) -> float:
    """Friedman's test that all methods rank alike over tasks.

    Args:
        scores: Means over seeds, shape (M, T), at least three methods and no NaN.

    Returns:
        1 where all methods tie on every task, for which the test has no spread to go by.
    """
    if (scores == scores[:1]).all():
        return 1.0
    return float(scipy_stats.friedmanchisquare(*scores).pvalue)


def nemenyi_p(scores: Array) -> Array:
    """Nemenyi's test of all pairs over tasks, shape (M, M); corrected for their number.

    Args:
        scores: Means over seeds, shape (M, T), no NaN.
    """
    import scikit_posthocs  # which imports matplotlib and seaborn

    return np.asarray(scikit_posthocs.posthoc_nemenyi_friedman(scores.T).to_numpy(), dtype=float)


def _t_test(difference: Array, sd: Array, n: NDArray[np.int64]) -> Array:
    error = sd / np.sqrt(np.maximum(n, 1))
    flat = error < _ZERO_SPREAD * np.maximum(1.0, np.abs(difference))
    t = np.abs(difference) / np.where(flat, 1.0, error)
    p = 2 * scipy_stats.t.sf(t, np.maximum(n - 1, 1))
    alike = np.abs(difference) < _ZERO_SPREAD
    p = np.where(flat, np.where(alike, 1.0, 0.0), p)
    return np.asarray(np.where(n >= 2, p, np.nan), dtype=np.float64)
