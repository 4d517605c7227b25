"""Estimates with intervals, as pure functions of scores shaped (methods, seeds, tasks).

One seed is one trained checkpoint scored on every task, so scores of one seed rise and fall
together; all resampling and testing here takes whole seeds. Intervals over seeds hold for these
tasks; intervals over seeds and tasks hold for tasks like these. Five seeds are few: the plain
percentile bootstrap over them covers far less than its nominal level (see `tools.calibration`), so
intervals of means are Student's over seeds, and bootstrap intervals are widened by default.

Source: Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical precipice,
section 4 (IQM, stratified bootstrap, probability of improvement). https://arxiv.org/abs/2108.13264
Source: Hesterberg 2015, What teachers should know about the bootstrap, section 5 (the expanded
percentile interval). https://arxiv.org/abs/1411.5279
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

Array = NDArray[np.float64]
Over = Literal["seeds", "both"]
OVER: tuple[Over, ...] = ("seeds", "both")


@dataclass(frozen=True)
class Interval:
    """An estimate per method and the interval around it.

    Attributes:
        estimate: Shape (M,).
        low: Lower end, shape (M,); NaN where there are too few seeds.
        high: Upper end, shape (M,).
    """

    estimate: Array
    low: Array
    high: Array


def seed_means(scores: Array) -> Array:
    """Mean over tasks of each method and seed; NaN where any task is missing.

    Args:
        scores: Shape (M, S, T).

    Returns:
        Shape (M, S).
    """
    scores = _three(scores)
    if not scores.shape[2]:
        return np.full(scores.shape[:2], np.nan)
    return np.asarray(scores.mean(axis=2), dtype=np.float64)


def mean(scores: Array) -> Array:
    """Mean over complete seeds and tasks, shape (M,); NaN for a method without a complete seed."""
    return nan_mean(seed_means(scores))


def iqm(scores: Array) -> Array:
    """Interquartile mean: mean of the middle half of all seed-and-task scores, shape (M,).

    ``scipy.stats.trim_mean`` at 25 % over the flattened seeds and tasks, over complete seeds only.
    """
    scores = _three(scores)
    if not np.isnan(scores).any() and scores.size:
        flat = scores.reshape(len(scores), -1)
        return np.asarray(scipy_stats.trim_mean(flat, 0.25, axis=1), dtype=np.float64)
    out = np.full(len(scores), np.nan)
    for row, values in enumerate(scores):
        complete = values[~np.isnan(values).any(axis=1)]
        if complete.size:
            out[row] = scipy_stats.trim_mean(complete, 0.25, axis=None)
    return out


def mean_interval(scores: Array, level: float = 0.95) -> Interval:
    """Mean with Student's t interval over seeds, the tasks fixed.

    Args:
        scores: Shape (M, S, T); NaN where a score is missing.
        level: Nominal coverage, in (0, 1).

    Returns:
        Low and high are NaN for a method with fewer than two complete seeds.
    """
    _check_level(level)
    means = seed_means(scores)
    centre, half = nan_mean(means), t_half_width(means, level)
    return Interval(centre, centre - half, centre + half)


def t_half_width(values: Array, level: float) -> Array:
    """Half-width of Student's interval of each row's mean.

    Args:
        values: Shape (..., S); NaN where a seed is missing.
        level: Nominal coverage, in (0, 1).

    Returns:
        Shape (...); NaN for rows with fewer than two values.
    """
    n = (~np.isnan(values)).sum(axis=-1)
    error = spread(values) / np.sqrt(np.maximum(n, 1))
    quantile = scipy_stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1))
    return np.asarray(np.where(n >= 2, quantile * error, np.nan), dtype=np.float64)


def spread(values: Array) -> Array:
    """Standard deviation over the last axis (n - 1), NaN-aware; NaN below two values.

    Values that are all the same have none: their mean may differ from them in the last bit.
    """
    n = (~np.isnan(values)).sum(axis=-1)
    centre = nan_mean(values)
    squares = np.nansum((values - centre[..., None]) ** 2, axis=-1)
    most = np.fmax.reduce(values, axis=-1, initial=-np.inf)
    level = most == np.fmin.reduce(values, axis=-1, initial=np.inf)
    found = np.where(level, 0.0, np.sqrt(squares / np.maximum(n - 1, 1)))
    return np.asarray(np.where(n >= 2, found, np.nan))


def nan_mean(values: Array) -> Array:
    """Mean over the last axis of what is not NaN; NaN without any."""
    n = (~np.isnan(values)).sum(axis=-1)
    total = np.nansum(values, axis=-1)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan), dtype=np.float64)


def bootstrap_interval(
    scores: Array,
    *,
    over: Over,
    seed: int,
    level: float = 0.95,
    resamples: int = 2000,
    expanded: bool = True,
) -> Interval:
    """Return the bootstrap interval of each method's mean.

    Args:
        scores: Shape (M, S, T), complete (no NaN).
        over: ``seeds`` draws whole seeds, the tasks fixed; ``both`` draws seeds and tasks.
        seed: Decides the resamples, and so the result.
        level: Nominal coverage, in (0, 1).
        resamples: Their number.
        expanded: Widen the percentile interval as Student's t would be for so few units
            (Hesterberg's expanded percentile); off gives the plain one.

    Raises:
        ValueError: If ``over`` is unknown or a score is missing.
    """
    scores = _three(scores)
    _check_level(level)
    if over not in OVER:
        raise ValueError(f"no interval is over {over!r}. Known: {', '.join(OVER)}")
    if np.isnan(scores).any():
        raise ValueError("the bootstrap needs complete scores; leave out incomplete seeds first")
    rng = np.random.default_rng(seed)
    m, s, t = scores.shape
    seeds = rng.integers(s, size=(resamples, s, 1))
    tasks = np.arange(t) if over == "seeds" else rng.integers(t, size=(resamples, 1, t))
    places = (seeds * t + tasks).reshape(resamples, s * t)  # scores of each resample
    # A mean is linear in how often each score was drawn, so no score is copied.
    counts = [np.bincount(p, minlength=s * t) for p in places]
    draws = scores.reshape(m, s * t) @ (np.array(counts).T / (s * t))  # (M, R)
    tail = _tail(scores, over, level) if expanded else (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=1)
    return Interval(mean(scores), low, high)


def probability_of_improvement(a: Array, b: Array) -> Array:
    """Chance that a seed of ``a`` beats a seed of ``b`` on a task, averaged over tasks.

    Ties count one half: per task this is the Mann-Whitney U statistic over its largest value.

    Args:
        a: Shape (M, S, T); incomplete seeds are left out.
        b: Shape (S', T).

    Returns:
        Shape (M,), in [0, 1]; NaN where either has no complete seed, or there is no task.
    """
    a = _three(a)
    out = np.full(len(a), np.nan)
    others = b[~np.isnan(b).any(axis=1)]
    whole = ~np.isnan(a).any(axis=2)  # (M, S)
    for kept in np.unique(whole, axis=0):  # of methods that have the same seeds, all at once
        rows = (whole == kept).all(axis=1)
        own = a[rows][:, kept]
        if own.shape[1] * others.size:
            wins = [((own > o) + 0.5 * (own == o)).sum(axis=(1, 2)) for o in others]
            out[rows] = np.sum(wins, axis=0) / (own.shape[1] * others.size)
    return out


def _tail(scores: Array, over: Over, level: float) -> float:
    """Return the tail share at which a normal percentile interval is as wide as Student's.

    The number of units is that of the scarcer one that is drawn.
    """
    _, n_seeds, n_tasks = scores.shape
    units = min(n_seeds, n_tasks) if over == "both" else n_seeds
    if units < 2:
        return (1 - level) / 2
    quantile = scipy_stats.t.ppf((1 + level) / 2, units - 1)
    return float(scipy_stats.norm.sf(quantile * np.sqrt(units / (units - 1))))


def _three(scores: Array) -> Array:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 3:
        raise ValueError(f"scores must be (methods, seeds, tasks), got shape {scores.shape}")
    return scores


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
