"""Main scores of a finished cell, in points."""

import math
from pathlib import Path

from nsbench.benchmarks.records import read_scores


def main_scores(path: Path) -> dict[str, float]:
    """Return the main score of each task of a ``scores.csv``, in points.

    As in mteb, a task's score is the mean over its splits and subsets.
    """
    values: dict[str, list[float]] = {}
    for score in read_scores(path):
        if score.main and score.task != "geometry":
            values.setdefault(score.task, []).append(100 * score.value)
    return {name: sum(v) / len(v) for name, v in values.items()}


def mean_score(path: Path) -> float:
    """Return the mean main score over the tasks of a ``scores.csv``; NaN without any."""
    try:
        found = main_scores(path)
    except OSError:
        return math.nan
    return sum(found.values()) / len(found) if found else math.nan
