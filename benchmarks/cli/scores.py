"""Main scores of a finished cell, in points."""

import csv
import math
from pathlib import Path

from nsbench.benchmarks.keys import spreadsheet_plain


def main_scores(path: Path) -> dict[str, float]:
    """Return the main score of each task of a ``scores.csv``, in points.

    As in mteb, a task's score is the mean over its splits and subsets.
    """
    values: dict[str, list[float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["main"] == "True" and row["task"] != "geometry":
                name = spreadsheet_plain(row["task"])
                values.setdefault(name, []).append(100 * float(row["value"]))
    return {name: sum(v) / len(v) for name, v in values.items()}


def mean_score(path: Path) -> float:
    """Return the mean main score over the tasks of a ``scores.csv``; NaN without any."""
    try:
        found = main_scores(path)
    except OSError:
        return math.nan
    return sum(found.values()) / len(found) if found else math.nan
