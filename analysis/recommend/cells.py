"""Trainings of arms as cells of an ordinary results folder, and their scores."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.analysis.recommend.arms import Arm

Doubles = NDArray[np.float64]
DEV, TEST = "dev", "test"


@dataclass(frozen=True)
class Setting:
    """All that arms share.

    Attributes:
        folder: Folder of the recommendation.
        encoder: The encoder as an entry of a matrix file.
        device: Where cells run.
        batch_size: Pairs of a step.
        max_length: Tokens of a text.
    """

    folder: Path
    encoder: Mapping[str, Any]
    device: str
    batch_size: int
    max_length: int = 128

    def matrix(
        self, arm: Arm, *, part: str, steps: int, learning_rate: float, seeds: Sequence[int]
    ) -> dict[str, Any]:
        """Return the matrix of one arm."""
        data = self.folder / "data"
        return {
            "schema": 1,
            "name": "recommend",
            "samplers": [arm.entry],
            "objective_parameters": {"temperature": arm.temperature},
            "encoders": [dict(self.encoder)],
            "data": [{"name": "retrieval", "path": str(data / "train"), "positives": "drawn"}],
            "seeds": list(seeds),
            "no_training": False,
            "budget": {
                "steps": steps,
                "batch_size": self.batch_size,
                "learning_rate": learning_rate,
                "max_length": self.max_length,
            },
            "evaluation": {
                "tasks": [
                    {"name": part, "kind": "retrieval", "path": str(data / part), "split": part}
                ]
            },
            "difficulty": {"every": max(1, steps)},
            "run": {"device": self.device, "keep_texts": False},
        }


@dataclass(frozen=True)
class Ended:
    """One training that ended.

    Attributes:
        arm: The arm.
        seed: Its seed.
        status: ``done``, ``failed`` or ``skipped``.
        reason: Why it is not done.
        score: nDCG@10 in points, NaN unless done.
        seconds: By phase.
        cost: Counts, such as encoder passes.
        folder: Of the cell.
    """

    arm: Arm
    seed: int
    status: str
    reason: str
    score: float
    seconds: Mapping[str, float]
    cost: Mapping[str, Any]
    folder: Path

    def by_query(self) -> dict[str, float]:
        """nDCG@10 of every query, by its id."""
        import pandas as pd

        table = pd.read_parquet(self.folder / "queries.parquet")
        table = table[table["metric"] == "ndcg_at_10"]
        return dict(zip(table["query"].astype(str), table["value"].astype(float), strict=True))


def run(
    setting: Setting,
    name: str,
    arm: Arm,
    *,
    steps: int,
    learning_rate: float,
    seeds: Sequence[int],
    part: str = DEV,
) -> list[Ended]:
    """Train an arm with every seed, or find that it is done.

    Args:
        setting: What all arms share.
        name: Of the results folder.
        arm: The arm.
        steps: Optimizer steps.
        learning_rate: The highest.
        seeds: One training with each.
        part: Part of the data that it is scored on.
    """
    from nsbench.benchmarks.matrix.config import parse_config
    from nsbench.benchmarks.matrix.expand import expand
    from nsbench.benchmarks.records import ResultsFolder
    from nsbench.benchmarks.runs.executors.base import finished, plan_jobs, run_job, to_replace

    matrix = parse_config(
        setting.matrix(arm, part=part, steps=steps, learning_rate=learning_rate, seeds=seeds)
    )
    place, out = ResultsFolder(setting.folder / name), []
    for planned in expand(matrix):
        (job,) = plan_jobs([planned], place, matrix.run.device, matrix.run.threads)
        record = finished(job.paths) or run_job(to_replace(job))
        if record is None:
            raise ValueError(f"another process is running {job.paths.folder}")
        good = record.status == "done"
        out.append(
            Ended(
                arm,
                planned.cell.seed,
                record.status,
                str(record.reason or ""),
                _score(job.paths.folder) if good else float("nan"),
                dict(record.seconds),
                dict(record.cost),
                job.paths.folder,
            )
        )
    return out


def _score(folder: Path) -> float:
    """The main score of a cell's one task, in points."""
    with (folder / "scores.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["main"] == "True":
                return 100 * float(row["value"])
    raise ValueError(f"{folder / 'scores.csv'} has no main score")


def mean(ended: Sequence[Ended]) -> float:
    """Mean score over seeds; minus infinity unless all are done."""
    scores = [e.score for e in ended]
    return float(np.mean(scores)) if np.isfinite(scores).all() and scores else -np.inf
