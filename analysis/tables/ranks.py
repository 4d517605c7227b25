"""Further statistics of methods: intervals over seeds and tasks, ranks by Borda's count."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from nsbench.analysis.statistics import stats
from nsbench.analysis.statistics.stats import Array

ALPHA = 0.05
BOOTSTRAP_SEED = 0


def over_seeds_and_tasks(scores: Array) -> Array:
    """Return bootstrap intervals of means over seeds and tasks, (M, 2); NaN below two of each."""
    out = np.full((len(scores), 2), np.nan)
    whole = ~np.isnan(scores).any(axis=2)  # (M, S)
    for kept in np.unique(whole, axis=0):  # of methods that have the same seeds, all at once
        rows = (whole == kept).all(axis=1)
        values = scores[rows][:, kept]
        if min(values.shape[1:]) >= 2:
            interval = stats.bootstrap_interval(
                values, over="both", seed=BOOTSTRAP_SEED, resamples=1000
            )
            out[rows] = np.stack([interval.low, interval.high], axis=1)
    return out


def borda(scores: Array) -> tuple[Array, Any]:
    """Return points by Borda's count and their ranks; NaN and NA for a method without a mean.

    On each task a method gets a point for every rated method it beats and half of one for every
    tie, by its mean over seeds; the points are summed over tasks. Unlike means, they need no common
    scale of tasks. mteb's leaderboards rank like this (points may be off by one a task).
    """
    rated = np.isfinite(stats.mean(scores))
    points = np.full(len(scores), np.nan)
    points[rated] = 0.0
    for task in range(scores.shape[2]):  # an average rank counts those beaten, and ties as halves
        points[rated] += rankdata(mean_of_seeds(scores[rated][:, :, task])) - 1
    return points, pd.Series(points).rank(ascending=False, method="min").astype("Int64")


def mean_of_seeds(values: Array) -> Array:
    """Return the mean over the seeds that have the task, shape (M,)."""
    return stats.mean(values[:, :, None])
