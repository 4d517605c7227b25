"""Comparisons of methods: paired tests by seed, ranks, groups and power.

Every test pairs methods by seed, since at one seed they share initial weights and batch order. The
verdict is Student's paired t over seeds, corrected by Holm: it holds its level with few seeds and
with methods of unequal noise (`tools.calibration` measures how well).

Source: Demšar 2006, Statistical comparisons of classifiers over multiple data sets, sections 3.1.3
and 3.2.2. https://jmlr.org/papers/v7/demsar06a.html
Source: Mogstad, Romano, Shaikh, Wilhelm 2024, Inference for ranks with applications to mobility,
section 3 (rank intervals from corrected pairwise tests). https://doi.org/10.1093/restud/rdad006
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as scipy_stats

from nsbench.analysis.statistics.stats import Array, spread, t_half_width

_ZERO_SPREAD = 1e-12  # below this, differences are alike up to rounding
_PAIRS_AT_ONCE = 200_000  # of methods, so that the parts of all of them need not fit in memory


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


def paired(a: Array, b: Array, *, level: float = 0.95) -> Paired:
    """Compare ``a - b`` seed by seed, with Student's paired t test.

    Args:
        a: Means over tasks, shape (..., S); NaN where a seed is missing.
        b: The same, broadcast against ``a``.
        level: Nominal coverage of the interval, in (0, 1).
    """
    values = np.asarray(a - b, dtype=np.float64)
    n = (~np.isnan(values)).sum(axis=-1)
    difference, p = _difference_and_p(values)
    half = t_half_width(values, level)
    return Paired(difference, difference - half, difference + half, p, n, spread(values))


def _difference_and_p(values: Array) -> tuple[Array, Array]:
    """Return the mean over the last axis and its uncorrected p, NaN-aware."""
    n = (~np.isnan(values)).sum(axis=-1)
    if values.size and n.min() == values.shape[-1]:
        difference = values.sum(axis=-1) / values.shape[-1]
    else:
        difference = np.where(n > 0, np.nansum(values, axis=-1) / np.maximum(n, 1), np.nan)
    return difference, _t_test(difference, spread(values), n)


def holm(p: Array) -> Array:
    """Holm's step-down correction of any shape; NaN is no test and stays NaN."""
    flat = np.asarray(p, dtype=np.float64).ravel()
    out = np.full(flat.shape, np.nan)
    order = np.argsort(flat)[: int((~np.isnan(flat)).sum())]
    steps = flat[order] * (len(order) - np.arange(len(order)))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return out.reshape(np.shape(p))


@dataclass(frozen=True)
class AllPairs:
    """Every method against every other.

    Attributes:
        difference: Row minus column, shape (M, M).
        p: Holm-corrected over all M (M - 1) / 2 pairs, shape (M, M); NaN where no test was
            possible, on the diagonal too.
        different: Where p is at or under alpha, shape (M, M).
    """

    difference: Array
    p: Array
    different: NDArray[np.bool_]


def all_pairs(means: Array, *, alpha: float = 0.05) -> AllPairs:
    """Test every pair of methods.

    Args:
        means: Means over tasks, shape (M, S); NaN where a seed is missing.
        alpha: Family-wise level, in (0, 1).
    """
    size = len(means)
    rows, columns = np.triu_indices(size, 1)
    raw = np.full(len(rows), np.nan)
    difference, p = np.full((size, size), np.nan), np.full((size, size), np.nan)
    difference[np.diag_indices(size)] = np.where(np.isnan(means).all(axis=1), np.nan, 0.0)
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        one, two = (index[start : start + _PAIRS_AT_ONCE] for index in (rows, columns))
        apart, raw[start : start + len(one)] = _difference_and_p(means[one] - means[two])
        difference[one, two], difference[two, one] = apart, -apart
    p[rows, columns] = p[columns, rows] = holm(raw)
    return AllPairs(difference, p, p <= alpha)


def rank_intervals(pairs: AllPairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lowest and highest rank each method may have; 1 is best.

    A method's best rank is one more than the number of significantly better methods, its worst the
    number of methods less the significantly worse ones. All intervals hold jointly at the level.
    """
    better = (pairs.different & (pairs.difference < 0)).sum(axis=1)
    worse = (pairs.different & (pairs.difference > 0)).sum(axis=1)
    return better + 1, len(pairs.p) - worse


def letter_runs(pairs: AllPairs, order: NDArray[np.int64]) -> list[list[int]]:
    """Return runs of methods next to each other in rank without a significant difference.

    These are the bars of a critical-difference diagram: all such sets of any methods would be
    exact, but there can be exponentially many.

    Args:
        pairs: Of M methods.
        order: Methods from best to worst, shape (M,).

    Returns:
        Numbers of the runs each method is in, ascending; in the methods' own order.
    """
    runs: list[list[int]] = [[] for _ in order]
    reached = end = found = 0
    for start in range(len(order)):
        end = max(end, start + 1)  # a run never ends before an earlier one
        while end < len(order) and not pairs.different[order[end], order[start:end]].any():
            end += 1
        if end > reached:
            for method in order[start:end]:
                runs[method].append(found)
            reached, found = end, found + 1
    return runs


def letter_groups(pairs: AllPairs, order: NDArray[np.int64]) -> list[str]:
    """Return `letter_runs` as letters: two methods with one in common do not differ significantly.

    Methods without a common letter may or may not differ: see the pair's p. The best method has
    the letter ``a``.
    """
    return ["".join(_letter(k) for k in runs) for runs in letter_runs(pairs, order)]


def pooled_spread(means: Array) -> float:
    """Standard deviation over seeds of a difference between two methods, from all pairs.

    With S seeds a single pair has S - 1 degrees of freedom, too few to tell what a design can
    detect. The mean variance over all pairs of M complete methods is twice the residual mean square
    of methods by seeds, with (M - 1)(S - 1).

    Args:
        means: Means over tasks of methods that are equally paired, shape (M, S); NaN where a seed
            is missing.

    Returns:
        In the unit of ``means``; NaN where no pair has two seeds.
    """
    size, seeds = means.shape
    if size > 1 and seeds > 1 and not np.isnan(means).any():
        # Var(x_i - x_j) summed over pairs is M sum(Var x_i) - Var(sum x_i).
        total = size * means.var(axis=1, ddof=1).sum() - means.sum(axis=0).var(ddof=1)
        return float(np.sqrt(max(total, 0.0) / (size * (size - 1) / 2)))
    squares, count = 0.0, 0
    for row in range(size - 1):
        variances = spread(means[row] - means[row + 1 :]) ** 2
        known = variances[np.isfinite(variances)]
        squares, count = squares + float(known.sum()), count + len(known)
    return float(np.sqrt(squares / count)) if count else float("nan")


def smallest_detectable(
    sd: float, n: int, *, comparisons: int = 1, alpha: float = 0.05, power: float = 0.8
) -> float:
    """Smallest true difference that the paired t test over n seeds finds with this power.

    Args:
        sd: Standard deviation of the differences over seeds.
        n: Seeds.
        comparisons: Size of Holm's family; a lone true difference must pass alpha / comparisons.
        alpha: Family-wise level, in (0, 1).
        power: Chance of finding it, in (alpha, 1).

    Returns:
        In the unit of ``sd``; NaN below two seeds or without a spread.
    """
    if n < 2 or not np.isfinite(sd):
        return float("nan")
    if sd == 0:
        return 0.0
    return _detectable_errors(n, alpha / comparisons, power) * sd / float(np.sqrt(n))


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


@cache
def _detectable_errors(n: int, alpha: float, power: float) -> float:
    """Effect, in standard errors, that a two-sided t test over n values finds with this power.

    The power is a normal tail averaged over the distribution of the estimated spread; scipy's
    noncentral t answers NaN far out in its tail.
    """
    quantile = float(scipy_stats.t.isf(alpha / 2, n - 1))
    shares = (np.arange(4000) + 0.5) / 4000
    bounds = quantile * np.sqrt(scipy_stats.chi2.ppf(shares, n - 1) / (n - 1))

    def shortfall(effect: float) -> float:
        tails = scipy_stats.norm.sf(bounds - effect) + scipy_stats.norm.cdf(-bounds - effect)
        return float(np.mean(tails)) - power

    top = 1.0
    while shortfall(top) < 0:
        top *= 2
    return float(optimize.brentq(shortfall, 0.0, top))


def _letter(index: int) -> str:
    """``a`` to ``z``, then ``a1`` and so on."""
    turn, place = divmod(index, 26)
    return chr(ord("a") + place) + (str(turn) if turn else "")
