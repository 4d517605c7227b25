"""Variances of the methods' means over seeds, estimated from all methods together.

A seed is a block: it lifts or lowers every method (shared initial weights and batch order). What
is left after methods and seeds is a method's own luck. A few seeds say little about one method's
variance, so each is drawn towards that of its group, by as much as the methods are alike; a method
that is far noisier than the group, a collapsed one say, keeps its own and changes no other.

Source: Smyth 2004, Linear models and empirical Bayes methods for assessing differential expression,
section 3 (moderation of variances on the log scale). https://doi.org/10.2202/1544-6115.1027
Source: Phipson, Lee, Majewski, Alexander, Smyth 2016, Robust hyperparameter estimation protects
against hypervariable genes (outliers keep their own variance). https://doi.org/10.1214/16-AOAS920
"""

from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import digamma, polygamma

from nsbench.analysis.statistics.stats import Array

_ROUNDS = 12  # of weights and residuals; the weights settle in a handful
_FITS = 30  # of rows and columns in turn where seeds are missing
_QUIET = 4.0  # a method this much below the median variance weighs no more in the seeds' effects
_GUESS = 0.8  # variance of log variances over methods, before any is seen
_DOUBT = 0.8  # standard deviation of that guess
_LEAST = 0.1
_NEAR, _FAR = 2.0, 3.0  # standard deviations above the group: own variance counts from, entirely
_SILENT = 1e-12  # of the scale of the scores: no noise but that of rounding


@dataclass(frozen=True)
class Variances:
    """Variance of one seed's mean, by method.

    Attributes:
        raw: From the method's own seeds, shape (M,); NaN below two.
        value: Moderated, shape (M,); NaN where nothing is known of any method.
        freedom: Degrees of freedom behind ``value``, shape (M,).
        own: Degrees of freedom that one more seed adds, shape (M,).
        prior: Degrees of freedom that the group is worth to a method.
    """

    raw: Array
    value: Array
    freedom: Array
    own: Array
    prior: float


def variances(means: Array) -> Variances:
    """Moderated variances of methods that share seeds.

    Args:
        means: Means over tasks, shape (M, S); NaN where a seed is missing.
    """
    n = (~np.isnan(means)).sum(axis=1)
    seen = n >= 2
    nothing = np.full(len(means), np.nan)
    if not seen.any():
        return Variances(nothing, nothing, np.zeros(len(means)), np.ones(len(means)), 0.0)
    floor = (_SILENT * max(1.0, float(np.nanmax(np.abs(means))))) ** 2
    apart = means[seen] - np.nanmean(means[seen], axis=1)[:, None]
    held = (~np.isnan(apart)).any(axis=0)
    effects = np.zeros(means.shape[1])
    effects[held] = np.nanmedian(apart[:, held], axis=0)  # no single method sways it
    weight = np.ones(len(means))
    for _ in range(_ROUNDS):
        raw, own = _raw(means, effects, weight, seen)
        found = _moderate(raw, own, n, floor)
        trusted = np.where(seen, found.value, np.inf)
        least = max(float(np.median(trusted[seen])) / _QUIET, floor)
        weight = 1.0 / np.maximum(trusted, least)
        effects = _effects(means, weight)
    raw, own = _raw(means, effects, weight, seen)
    return _moderate(raw, own, n, floor)


def _effects(means: Array, weight: Array) -> Array:
    """Return the effect of each seed on every method: rows, then columns, noisy rows lightly."""
    there = ~np.isnan(means)
    filled = np.where(there, means, 0.0)
    share = there * weight[:, None]
    total = share.sum(axis=0)
    count = np.maximum(there.sum(axis=1), 1)
    effects = np.zeros(means.shape[1])
    for _ in range(1 if there.all() else _FITS):
        level = (filled - there * effects).sum(axis=1) / count
        gap = (share * (filled - level[:, None])).sum(axis=0)
        effects = np.where(total > 0, gap / np.where(total > 0, total, 1.0), 0.0)
    return effects


def _raw(means: Array, effects: Array, weight: Array, seen: Array) -> tuple[Array, Array]:
    """Variance of each row's residuals, and the degrees of freedom each of its seeds is worth.

    A method takes part in the effects that are taken from it, by its share of the weights.
    """
    there = ~np.isnan(means)
    n = there.sum(axis=1)
    rest = np.where(there, means - effects, 0.0)
    rest = np.where(there, rest - (rest.sum(axis=1) / np.maximum(n, 1))[:, None], 0.0)
    total = (there * weight[:, None]).sum(axis=0)
    share = weight[:, None] / np.where(total > 0, total, np.inf)
    own = 1.0 - np.where(there, share, 0.0).sum(axis=1) / np.maximum(n, 1)
    own = np.maximum(own, 0.25) if len(means) > 1 else np.ones(1)
    squares = (rest**2).sum(axis=1)
    return np.where(seen, squares / (np.maximum(n - 1, 1) * own), np.nan), own


def _moderate(raw: Array, own: Array, n: Array, floor: float) -> Variances:
    """Draw each variance towards the group's, on the log scale."""
    freedom = np.maximum(n - 1, 0) * own
    known = np.flatnonzero(np.isfinite(raw) & (raw > floor))
    if not len(known):  # no method moves at all
        silent = np.where(n > 0, 0.0, np.nan)
        return Variances(raw, silent, freedom, own, 0.0)
    half = freedom[known] / 2
    logs = np.log(raw[known]) - digamma(half) + np.log(half)
    noise = polygamma(1, half)
    scale = np.sqrt(noise + _GUESS)
    middle = float(np.median(logs))
    logs = np.clip(logs, middle - _NEAR * scale, middle + _NEAR * scale)
    excess = float(((logs - logs.mean()) ** 2).sum()) - (len(known) - 1) * float(noise.mean())
    trust = 2 * (_GUESS + float(noise.mean())) ** 2 / _DOUBT**2  # methods that tell as much
    between = (trust * _GUESS + excess) / (trust + len(known) - 1)
    between = max(between, _LEAST)
    between += (between + float(noise.mean())) / len(known)  # the group's centre is found too
    prior = 2 * _trigamma_inverse(between)
    centre = float(np.exp(logs.mean() + between / 8))
    prior *= max(len(known) - 2, 0) / len(known)  # what others tell of the two of a pair
    worth = np.full(len(raw), prior)
    above = (np.log(raw[known]) - digamma(half) + np.log(half) - middle) / scale
    worth[known] *= np.clip((_FAR - above) / (_FAR - _NEAR), 0.0, 1.0)
    total = worth + freedom
    most = max(float(freedom.sum()) / 2, 0.5)  # a pair cannot know more than all residuals do
    value = worth * centre + freedom * np.where(np.isfinite(raw), raw, 0.0)
    value = np.where(total > 0, value / np.where(total > 0, total, 1.0), np.nan)
    return Variances(
        raw, np.where(n > 0, value, np.nan), np.minimum(total, most), own, float(prior)
    )


def _trigamma_inverse(value: float) -> float:
    """Return the argument above 0 at which the trigamma function has this value."""

    def off(x: float) -> float:
        return float(polygamma(1, x)) - value

    return float(optimize.brentq(off, 1e-3, 1e6))
