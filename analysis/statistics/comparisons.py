"""Which differences are real: paired tests by seed, ranks, groups, equivalence and power.

Every test pairs methods by seed, since at one seed they share initial weights and batch order. The
verdict is Student's paired t over seeds, corrected by Holm: it holds its level with few seeds and
with methods of unequal noise (`tools.calibration` prints how well). The exact sign-flip
permutation test is here too, but with n seeds its smallest p is 2 / 2**n: 0.0625 with five.

Source: Demšar 2006, Statistical comparisons of classifiers over multiple data sets, sections 3.1.3
and 3.2.2. https://jmlr.org/papers/v7/demsar06a.html
Source: Mogstad, Romano, Shaikh, Wilhelm 2024, Inference for ranks with applications to mobility,
section 3 (rank intervals from corrected pairwise tests). https://doi.org/10.1093/restud/rdad006
Source: Schuirmann 1987, two one-sided tests. https://doi.org/10.1007/BF01068419
"""

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy import stats as scipy_stats

from nsbench.analysis.statistics.stats import Array, spread, t_half_width

Method = Literal["t", "permutation", "wilcoxon"]
METHODS: tuple[Method, ...] = ("t", "permutation", "wilcoxon")
_ZERO_SPREAD = 1e-12  # below this, differences are alike up to rounding
_PAIRS_AT_ONCE = 200_000  # of methods, so that the parts of all of them need not fit in memory
_EXACT_SEEDS = 16  # 2**16 sign patterns are still quick


@dataclass(frozen=True)
class Paired:
    """Differences by seed and what they are worth; every array has shape (...).

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


def paired(
    a: Array, b: Array, *, level: float = 0.95, method: Method = "t", seed: int = 0
) -> Paired:
    """Compare ``a - b`` seed by seed.

    Args:
        a: Means over tasks, shape (..., S); NaN where a seed is missing.
        b: The same, broadcast against ``a``.
        level: Nominal coverage of the interval, in (0, 1).
        method: Test behind ``p``; the interval is always Student's.
        seed: Decides the sign patterns drawn by ``permutation`` above 16 seeds.

    Raises:
        ValueError: If the method is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"no paired test is called {method!r}. Known: {', '.join(METHODS)}")
    values = np.asarray(a - b, dtype=np.float64)
    n = (~np.isnan(values)).sum(axis=-1)
    difference, p = _difference_and_p(values, method, seed)
    half = t_half_width(values, level)
    return Paired(difference, difference - half, difference + half, p, n, spread(values))


def _difference_and_p(values: Array, method: Method, seed: int) -> tuple[Array, Array]:
    """Mean over the last axis and its uncorrected p, NaN-aware."""
    n = (~np.isnan(values)).sum(axis=-1)
    if values.size and n.min() == values.shape[-1]:
        difference = values.sum(axis=-1) / values.shape[-1]
    else:
        difference = np.where(n > 0, np.nansum(values, axis=-1) / np.maximum(n, 1), np.nan)
    if method == "t":
        return difference, _t_test(difference, spread(values), n)
    flat = values.reshape(-1, values.shape[-1])
    p = np.array([_nonparametric(row[~np.isnan(row)], method, seed) for row in flat])
    return difference, p.reshape(values.shape[:-1])


def sign_flip_p(values: Array, seed: int = 0, resamples: int = 9999) -> float:
    """Two-sided p of the mean under random signs: exact up to 16 values, sampled above.

    Args:
        values: Paired differences, shape (S,).
        seed: Decides the sampled sign patterns.
        resamples: How many patterns above 16 values; the observed one is counted too.
    """
    if not len(values):
        return float("nan")
    if len(values) <= _EXACT_SEEDS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(values))))
    else:
        rng = np.random.default_rng(seed)
        signs = rng.choice((1.0, -1.0), size=(resamples + 1, len(values)))
        signs[0] = 1.0
    totals = np.abs(signs @ values)
    return float(np.mean(totals >= totals[0] - 1e-9 * max(totals[0], _ZERO_SPREAD)))


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


def all_pairs(means: Array, *, alpha: float = 0.05, method: Method = "t") -> AllPairs:
    """Test every pair of methods.

    Args:
        means: Means over tasks, shape (M, S); NaN where a seed is missing.
        alpha: Family-wise level, in (0, 1).
        method: See `paired`.
    """
    size = len(means)
    rows, columns = np.triu_indices(size, 1)
    raw = np.full(len(rows), np.nan)
    difference, p = np.full((size, size), np.nan), np.full((size, size), np.nan)
    difference[np.diag_indices(size)] = np.where(np.isnan(means).all(axis=1), np.nan, 0.0)
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        one, two = (index[start : start + _PAIRS_AT_ONCE] for index in (rows, columns))
        apart, raw[start : start + len(one)] = _difference_and_p(means[one] - means[two], method, 0)
        difference[one, two], difference[two, one] = apart, -apart
    p[rows, columns] = p[columns, rows] = holm(raw)
    return AllPairs(difference, p, p <= alpha)


def rank_intervals(pairs: AllPairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest rank each method may have; 1 is best.

    A method's best rank is one more than the methods that are surely better, its worst the number
    of methods less those that are surely worse. All intervals hold together at the family's level.
    """
    better = (pairs.different & (pairs.difference < 0)).sum(axis=1)
    worse = (pairs.different & (pairs.difference > 0)).sum(axis=1)
    return better + 1, len(pairs.p) - worse


def letter_runs(pairs: AllPairs, order: NDArray[np.int64]) -> list[list[int]]:
    """Runs of neighbouring methods of which no two can be told apart.

    Runs are of neighbours in rank, as the bars of a critical-difference diagram: all such sets of
    any methods would be exact, but there can be exponentially many.

    Args:
        pairs: Of M methods.
        order: Methods from best to worst, shape (M,).

    Returns:
        Numbers of the runs each method is in, ascending; in the methods' own order.
    """
    runs: list[list[int]] = [[] for _ in order]
    reached = end = found = 0
    for start in range(len(order)):
        end = max(end, start + 1)  # what cannot be told apart from more cannot be from less
        while end < len(order) and not pairs.different[order[end], order[start:end]].any():
            end += 1
        if end > reached:
            for method in order[start:end]:
                runs[method].append(found)
            reached, found = end, found + 1
    return runs


def letter_groups(pairs: AllPairs, order: NDArray[np.int64]) -> list[str]:
    """`letter_runs` as letters: two methods with one in common cannot be told apart.

    Without a common letter, ask the pair's p. The best method has the letter ``a``.
    """
    return ["".join(_letter(k) for k in runs) for runs in letter_runs(pairs, order)]


def equivalence_p(a: Array, b: Array, margin: float) -> float:
    """Two one-sided paired t tests: small p says the mean difference lies within the margin.

    Args:
        a: Means over tasks, shape (S,); NaN where a seed is missing.
        b: The same.
        margin: Largest difference that does not matter, in the scores' unit, above 0.

    Returns:
        The larger of the two p; NaN below two common seeds.

    Raises:
        ValueError: If the margin is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"margin must be above 0, got {margin}")
    values = (a - b)[~np.isnan(a - b)]
    if len(values) < 2:
        return float("nan")
    error = float(spread(values)) / np.sqrt(len(values))
    centre, df = float(values.mean()), len(values) - 1
    if error < _ZERO_SPREAD:
        return 0.0 if abs(centre) < margin else 1.0
    above = scipy_stats.t.sf((centre + margin) / error, df)
    below = scipy_stats.t.cdf((centre - margin) / error, df)
    return float(max(above, below))


def pooled_spread(means: Array) -> float:
    """Standard deviation over seeds of a difference between two methods, from all pairs.

    With S seeds a single pair has S - 1 degrees of freedom, too few to say what a design can
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
    """Nemenyi's test of all pairs over tasks, shape (M, M); corrected by itself.

    Args:
        scores: Means over seeds, shape (M, T), no NaN.
    """
    import scikit_posthocs  # which takes matplotlib and seaborn along

    return np.asarray(scikit_posthocs.posthoc_nemenyi_friedman(scores.T).to_numpy(), dtype=float)


def wilcoxon_holm_p(scores: Array) -> Array:
    """Wilcoxon's signed ranks over tasks for all pairs, Holm-corrected, shape (M, M); diagonal 1.

    Args:
        scores: Means over seeds, shape (M, T), no NaN.
    """
    rows, columns = np.triu_indices(len(scores), 1)
    raw = [_nonparametric(d, "wilcoxon", 0) for d in scores[rows] - scores[columns]]
    p = np.ones((len(scores), len(scores)))
    p[rows, columns] = p[columns, rows] = holm(np.array(raw))
    return p


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


def _nonparametric(values: Array, method: str, seed: int) -> float:
    if len(values) < 2:
        return float("nan")
    if method == "permutation":
        return sign_flip_p(values, seed)
    if not np.any(values):
        return 1.0
    return float(scipy_stats.wilcoxon(values).pvalue)


def _letter(index: int) -> str:
    """``a`` to ``z``, then ``a1`` and so on."""
    turn, place = divmod(index, 26)
    return chr(ord("a") + place) + (str(turn) if turn else "")
