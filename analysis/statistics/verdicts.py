"""One procedure for every verdict: who is better, worse, equivalent or undecided, and by how much.

Methods are compared seed by seed (randomised complete blocks), with variances moderated over the
whole group and intervals that hold all at once: see `variances` and `simultaneous`. A pair is
significantly different exactly where its interval leaves out 0; its p, the letters, the rank
intervals and the verdicts are read off those intervals, so that none can contradict another.

Under `LEAST_SEEDS` seeds that both methods have, a pair has no interval and no verdict. A method
that lacks seeds is held against its baseline on the seeds that both have, and takes its place in
the ranks by that difference: never by its own mean, which would count its seeds' luck.

Source: Smyth 2004 and Phipson et al. 2016 (variances), Dunnett 1955, Tukey 1953 and Games and
Howell 1976 (intervals), as cited in `variances` and `simultaneous`.
Source: Mogstad, Romano, Shaikh, Wilhelm 2024, Inference for ranks with applications to mobility,
section 3 (rank intervals). https://doi.org/10.1093/restud/rdad006
Source: Schuirmann 1987, two one-sided tests (equivalence: the interval lies within the margin).
https://doi.org/10.1007/BF01068419
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from nsbench.analysis.statistics.footing import contrasts, levels
from nsbench.analysis.statistics.letters import cliques, letter
from nsbench.analysis.statistics.simultaneous import (
    Critical,
    claims_p,
    critical_scores,
    normal_score,
    t_value,
)
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.statistics.variances import Variances, variances

MARGIN = 0.5
"""Difference in points that does not matter, unless another is given."""
LEAST_SEEDS = 3
BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"
BASELINE, NO_VERDICT = "baseline", "no verdict"
VERDICTS = (BETTER, WORSE, EQUIVALENT, UNDECIDED, BASELINE, NO_VERDICT)
MOST_SEEDS = 1000
"""More seeds than this are not counted out."""
_ROUNDING = 1e-9  # of the scale of the scores: smaller differences are none


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on M methods of one group.

    Attributes:
        level: Mean of each method on the footing of its baseline's seeds, shape (M,); its own mean
            where it has them all, NaN without a seed in common. Ranks go by it.
        difference: Row minus column, shape (M, M).
        half: Half the width of each pair's simultaneous interval, shape (M, M); NaN without one.
        p: Corrected p of each pair, shape (M, M); NaN without an interval, on the diagonal too.
        reference: Index of each method's baseline, its own for a baseline, -1 without one.
        n: Seeds that each method shares with its baseline, shape (M,).
        margin: Difference that does not matter.
        alpha: Chance that any interval of the group misses its truth.
        per_seed: Standard deviation of a difference to the baseline at one seed, shape (M,).
        freedom: Degrees of freedom behind ``per_seed``, shape (M,).
        more: Further seeds after which a method's verdict cannot stay open, if its spread stays,
            shape (M,); 0 where it is decided, -1 above `MOST_SEEDS` or unknown.
        critical: Normal scores behind the intervals; ``None`` where no pair has one.
    """

    level: Array
    difference: Array
    half: Array
    p: Array
    reference: NDArray[np.int64]
    n: NDArray[np.int64]
    margin: float
    alpha: float
    per_seed: Array
    freedom: Array
    more: NDArray[np.int64]
    critical: Critical | None = None

    @cached_property
    def different(self) -> NDArray[np.bool_]:
        """Pairs whose intervals leave out 0, shape (M, M)."""
        return np.asarray(np.abs(self.difference) > self.half)

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Methods that have an interval against their baseline, shape (M,)."""
        return np.isfinite(self._of_baseline(self.half))

    @property
    def gap(self) -> Array:
        """Difference to the baseline, shape (M,); NaN for a baseline itself."""
        return self._of_baseline(self.difference)

    @property
    def gap_half(self) -> Array:
        """Half the width of its interval, shape (M,)."""
        return self._of_baseline(self.half)

    @property
    def gap_p(self) -> Array:
        """Its corrected p, shape (M,)."""
        return self._of_baseline(self.p)

    def verdict(self) -> list[str]:
        """One of `VERDICTS` for each method, against its baseline."""
        gap, half = self.gap, self.gap_half
        own = self.reference == np.arange(len(self.level))
        return [
            BASELINE if is_base else verdict_of(float(d), float(h), self.margin)
            for d, h, is_base in zip(gap, half, own, strict=True)
        ]

    def ranks(self) -> Array:
        """Rank by `level`, 1 is best and equals tie, shape (M,); NaN without a level."""
        out = np.full(len(self.level), np.nan)
        known = np.isfinite(self.level)
        out[known] = rankdata(-self.level[known], method="min")
        return out

    def judged(self) -> NDArray[np.bool_]:
        """Methods with an interval against any other, shape (M,)."""
        return np.asarray(np.isfinite(self.half).any(axis=1), dtype=np.bool_)

    def rank_intervals(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lowest and highest rank each method may have among those that have a level.

        One more than the methods that are surely better, and all less those that are surely worse.
        """
        better = (self.different & (self.difference < 0)).sum(axis=1)
        worse = (self.different & (self.difference > 0)).sum(axis=1)
        return better + 1, int(np.isfinite(self.level).sum()) - worse

    def letters(self) -> list[str]:
        """Letters such that two methods share one exactly if they do not differ significantly.

        Empty for a method without any interval. The best method has the letter ``a``.
        """
        rows = np.flatnonzero(self.judged())
        order = rows[np.argsort(-self.level[rows], kind="stable")]
        sets = cliques(~self.different[np.ix_(order, order)])
        out = [""] * len(self.level)
        for number, members in enumerate(sets):
            for place in members:
                out[order[place]] += letter(number)
        return out

    def _of_baseline(self, pairs: Array) -> Array:
        rows = np.arange(len(self.level))
        there = (self.reference >= 0) & (self.reference != rows)
        return np.where(there, pairs[rows, np.where(there, self.reference, 0)], np.nan)


def verdict_of(difference: float, half: float, margin: float) -> str:
    """The verdict of an interval, by its middle and half its width, which is NaN without one."""
    if not math.isfinite(half) or not math.isfinite(difference):
        return NO_VERDICT
    if abs(difference) + half < margin:
        return EQUIVALENT
    if abs(difference) > half:
        return BETTER if difference > 0 else WORSE
    return UNDECIDED


def judge(
    means: Array, reference: Sequence[int | None], *, margin: float = MARGIN, alpha: float = 0.05
) -> Verdicts:
    """Compare methods with their baselines and with each other.

    Args:
        means: Means over tasks, shape (M, S); NaN where a seed is missing.
        reference: Index of each method's baseline: its own, or ``None`` where there is none.
        margin: Largest difference that does not matter, in the unit of ``means``, above 0.
        alpha: Chance that any claim is wrong, in (0, 1).

    Raises:
        ValueError: If the margin or alpha is out of range.
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin must be a number of points above 0, got {margin}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")
    size = len(means)
    base = np.array([-1 if r is None else r for r in reference], dtype=np.int64)
    weights, n = contrasts(means, base)
    level = levels(means, weights, n)
    gap = level[:, None] - level[None, :]
    scale = max(1.0, float(np.nanmax(np.abs(means)))) if np.isfinite(means).any() else 1.0
    gap[np.abs(gap) < _ROUNDING * scale] = 0.0
    found = variances(means)
    able = (n >= LEAST_SEEDS) & np.isfinite(found.value)
    half, p, more = np.full((size, size), np.nan), np.full((size, size), np.nan), np.zeros(size)
    per_seed, freedom = np.full(size, np.nan), np.full(size, np.nan)
    rows = np.flatnonzero(able)
    critical = None
    if len(rows) > 1:
        inner = _Group(weights, found, n, base, rows, gap, alpha)
        half[np.ix_(rows, rows)], p[np.ix_(rows, rows)] = inner.half, inner.p
        np.fill_diagonal(half, np.nan)
        np.fill_diagonal(p, np.nan)
        per_seed[rows], freedom[rows] = inner.per_seed, inner.freedom
        more[rows] = inner.more(margin)
        critical = inner.critical
    verdicts = Verdicts(
        level,
        gap,
        half,
        p,
        base,
        n,
        margin,
        alpha,
        per_seed,
        freedom,
        more.astype(np.int64),
        critical,
    )
    open_ = np.array([v == UNDECIDED for v in verdicts.verdict()], dtype=bool)
    verdicts.more[~open_] = 0
    return verdicts


class _Group:
    """The methods of a group that can be compared, and the intervals of all their pairs.

    Args:
        weights: See `contrasts`, of all methods.
        found: Their variances.
        n: Seeds that each shares with its baseline.
        base: Index of each one's baseline.
        rows: Those that can be compared.
        gap: Differences, shape (M, M).
        alpha: Chance that any claim is wrong.
    """

    def __init__(
        self,
        weights: sparse.csr_matrix,
        found: Variances,
        n: NDArray[np.int64],
        base: NDArray[np.int64],
        rows: NDArray[np.int64],
        gap: Array,
        alpha: float,
    ) -> None:
        self._found, self._n, self._rows = found, n, rows
        seeds = weights.shape[1] // len(n)
        value = np.where(np.isfinite(found.value), found.value, 0.0)
        loud = sparse.diags(np.repeat(np.sqrt(value), seeds))
        root = (weights[rows] @ loud).tocsc()
        root = root[:, np.flatnonzero(np.diff(root.indptr))]
        self.own = value[rows] / n[rows]  # variance of each estimate by its own luck
        covariance = (root @ root.T).toarray()
        line = covariance.diagonal()
        error = np.maximum(line[:, None] + line[None, :] - 2 * covariance, 0.0)
        self._error = np.sqrt(error)
        self._df = found.freedom[rows]
        place = np.full(len(n), -1)
        place[rows] = np.arange(len(rows))
        self._base = np.where(base[rows] >= 0, place[base[rows]], -1)
        ours = (self._base >= 0) & (self._base != np.arange(len(rows)))
        pair_df = self._pair_freedom(self._df)
        diagonal = not (covariance - np.diag(line)).any()
        dense = np.diag(np.sqrt(line)) if diagonal else root.toarray()
        critical = critical_scores(dense, self._df, pair_df, self._base, alpha=alpha)
        scores = np.full(error.shape, critical.pairs)
        mine = np.flatnonzero(ours)
        scores[mine, self._base[mine]] = scores[self._base[mine], mine] = critical.baseline
        self._score, self.critical = critical.baseline, critical
        self.half = t_value(scores, pair_df) * self._error
        self.p = self._p(gap[np.ix_(rows, rows)], pair_df, scores, alpha)
        self.per_seed = np.where(ours, self._error[np.arange(len(rows)), self._base], np.nan)
        self.per_seed *= np.sqrt(np.minimum(n[rows], n[rows][self._base]))
        self.freedom = np.where(ours, pair_df[np.arange(len(rows)), self._base], np.nan)

    def more(self, margin: float) -> Array:
        """Further seeds at which half the interval to the baseline is half the margin at most.

        Such an interval cannot hold both 0 and the margin, so there is some verdict.
        """
        out = np.zeros(len(self._rows))
        own = self._found.own[self._rows]
        for place in np.flatnonzero(np.isfinite(self.per_seed)):
            base = self._base[place]
            pair = np.array([place, base])
            now = int(min(self._n[self._rows[pair]]))

            def half(seeds: int, pair: NDArray[np.int64] = pair, now: int = now) -> float:
                df = self._df[pair] + (seeds - now) * own[pair]
                share = float((self.own[pair] ** 2 / df).sum())
                freedom = self.own[pair].sum() ** 2 / share if share else df.sum()
                spread = self.per_seed[pair[0]] / math.sqrt(seeds)
                return float(t_value(self._score, np.minimum(freedom, df.sum())) * spread)

            out[place] = _first(half, margin / 2, now)
        return out

    def _pair_freedom(self, df: Array) -> Array:
        """Satterthwaite's degrees of freedom of each pair's variance."""
        own, share = self.own, self.own**2 / df
        whole = (own[:, None] + own[None, :]) ** 2
        parts = share[:, None] + share[None, :]
        both = df[:, None] + df[None, :]
        found = np.where(parts > 0, whole / np.where(parts > 0, parts, 1.0), both)
        return np.asarray(np.minimum(found, both))

    def _p(self, gap: Array, df: Array, scores: Array, alpha: float) -> Array:
        flat = self._error == 0
        t = np.abs(gap) / np.where(flat, 1.0, self._error)
        p = np.full(gap.shape, np.nan)
        for critical in np.unique(scores):
            here = scores == critical
            p[here] = claims_p(normal_score(t[here], df[here]), float(critical), alpha)
        p = np.where(flat, np.where(gap == 0, 1.0, 0.0), p)
        apart = np.abs(gap) > self.half  # the interval has the last word on the last bit
        p = np.where(apart, np.minimum(p, alpha), np.maximum(p, np.nextafter(alpha, 1.0)))
        return np.asarray(p, dtype=np.float64)


def _first(half: Callable[[int], float], wanted: float, now: int) -> int:
    """Return the number of further seeds until ``half <= wanted``; -1 above `MOST_SEEDS`."""
    if half(now + MOST_SEEDS) > wanted:
        return -1
    low, high = 0, MOST_SEEDS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if half(now + middle) <= wanted else (middle + 1, high)
    return max(low, 1)
