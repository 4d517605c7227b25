"""Trainings of arms as cells of an ordinary results folder, and their scores."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nsbench.analysis.recommend.arms import Arm
from nsbench.benchmarks.audit.parts import CLASSES, GRADES, PAIRS

if TYPE_CHECKING:
    from nsbench.benchmarks.runs.executors.base import Job

Doubles = NDArray[np.float64]
DEV, TEST = "dev", "test"
RACE, DECISION, EXHAUSTIVE = "race", "decision", "exhaustive"
"""Stages, and the results folders of their trainings."""
PARTS = {RACE: DEV, DECISION: TEST, EXHAUSTIVE: TEST}
"""Part of the data that a stage's trainings are scored on."""


FURTHER = {
    CLASSES: ("classification", "accuracy on classes"),
    PAIRS: ("pair_classification", "average precision of pairs"),
    GRADES: ("sts", "Spearman correlation with the grades"),
}
"""Kind of each further task of the locked part, and what its score is called."""


def is_drawn(encoder: Mapping[str, Any]) -> bool:
    """True if the weights of an encoder, as an entry of a matrix file, are drawn with the seed."""
    return not encoder.get("source")


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

    @classmethod
    def of(cls, folder: Path, facts: Mapping[str, Any]) -> "Setting":
        """The setting of a recommendation whose facts hold what `plain` gives."""
        names = (f.name for f in fields(cls) if f.name != "folder")
        return cls(folder, **{name: facts[name] for name in names})

    def plain(self) -> dict[str, Any]:
        """As plain data, all but the folder."""
        return {name: value for name, value in vars(self).items() if name != "folder"}

    def matrix(
        self, arm: Arm, *, part: str, steps: int, learning_rate: float, seeds: Sequence[int]
    ) -> dict[str, Any]:
        """Return the matrix of one arm."""
        data = self.folder.resolve() / "data"  # the same cells from wherever it is run again
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
            "evaluation": {"tasks": self._tasks(part)},
            "difficulty": {"every": max(1, steps)},
            "run": {"device": self.device, "keep_texts": False},
        }

    def _tasks(self, part: str) -> list[dict[str, Any]]:
        """The tasks of a part; retrieval is the one that decides."""
        data = self.folder.resolve() / "data"
        out = [{"name": part, "kind": "retrieval", "path": str(data / part), "split": part}]
        for name, (kind, _) in FURTHER.items():
            path = data / TEST / f"{name}.jsonl"
            if part == TEST and path.is_file():
                fitted = {"train": str(data / "train" / path.name)} if name == CLASSES else {}
                out.append({"name": name, "kind": kind, "path": str(path)} | fitted)
        return out

    def varies(self, arm: Arm) -> bool:
        """True if the seed makes a difference to an arm: steps are taken, or weights are drawn."""
        return arm.trains or is_drawn(self.encoder)


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
        folder: Of the cell; ``None`` for one that was read from a table.
        queries: nDCG@10 of every query by its id, where it was read from a table.
        further: Scores of further tasks by name, in points.
    """

    arm: Arm
    seed: int
    status: str
    reason: str
    score: float
    seconds: Mapping[str, float]
    cost: Mapping[str, Any]
    folder: Path | None = None
    queries: Mapping[str, float] | None = None
    further: Mapping[str, float] = field(default_factory=dict)

    def by_query(self) -> Mapping[str, float]:
        """nDCG@10 of every query, by its id."""
        if self.queries is not None or self.folder is None:
            return self.queries or {}
        import pandas as pd

        table = pd.read_parquet(self.folder / "queries.parquet")
        table = table[table["metric"] == "ndcg_at_10"]
        return dict(zip(table["query"].astype(str), table["value"].astype(float), strict=True))


@dataclass(frozen=True)
class Key:
    """Key of a training in a recommendation.

    Attributes:
        stage: One of `PARTS`.
        recipe: Name of the arm.
        steps: Optimizer steps.
        learning_rate: The highest.
        seed: Of the training.
    """

    stage: str
    recipe: str
    steps: int
    learning_rate: float
    seed: int


class Trainings:
    """The trainings of a recommendation, each run once, and the time that is left for them.

    Attributes:
        setting: What all share.
        ended: All that ended or were found, in order.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.ended: dict[Key, Ended] = {}
        self._end = math.inf

    def begin(self, seconds: float) -> None:
        """Start the clock: so many seconds are left for everything."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; infinite before the clock starts."""
        return self._end - time.monotonic()

    def done(
        self, stage: str, arm: Arm, *, steps: int, learning_rate: float, seeds: Sequence[int]
    ) -> bool:
        """True if a call of `run` with the same arguments trains nothing."""
        from nsbench.benchmarks.runs.executors.base import finished

        jobs = self._jobs(stage, arm, steps, learning_rate, seeds)
        return all(finished(job.paths) is not None for job in jobs)

    def run(
        self, stage: str, arm: Arm, *, steps: int, learning_rate: float, seeds: Sequence[int]
    ) -> list[Ended]:
        """Train an arm with every seed, or find that it is done; the stage is one of `PARTS`."""
        from nsbench.benchmarks.records import read_scores
        from nsbench.benchmarks.runs.executors.base import finished, run_job, to_replace

        out = []
        for job in self._jobs(stage, arm, steps, learning_rate, seeds):
            record = finished(job.paths) or run_job(to_replace(job))
            if record is None:
                raise ValueError(f"another process is running {job.paths.folder}")
            found = read_scores(job.paths.scores) if record.status == "done" else []
            scores = {s.task: 100 * s.value for s in found if s.main}
            done = Ended(
                arm,
                job.planned.cell.seed,
                record.status,
                str(record.reason or ""),
                scores.pop(PARTS[stage], float("nan")),
                dict(record.seconds),
                dict(record.cost),
                job.paths.folder,
                further=scores,
            )
            self.ended[Key(stage, arm.name, steps, learning_rate, done.seed)] = done
            out.append(done)
        return out

    def _jobs(
        self, stage: str, arm: Arm, steps: int, learning_rate: float, seeds: Sequence[int]
    ) -> "list[Job]":
        from nsbench.benchmarks.matrix.config import parse_config
        from nsbench.benchmarks.matrix.expand import expand
        from nsbench.benchmarks.records import ResultsFolder
        from nsbench.benchmarks.runs.executors.base import jobs_of_run

        given = self.setting.matrix(
            arm, part=PARTS[stage], steps=steps, learning_rate=learning_rate, seeds=seeds
        )
        matrix = parse_config(given)
        place = ResultsFolder(self.setting.folder / stage)
        return jobs_of_run(expand(matrix), place, matrix.run)


def mean(ended: Sequence[Ended]) -> float:
    """Mean score over seeds; minus infinity unless all are done."""
    scores = [e.score for e in ended]
    return float(np.mean(scores)) if np.isfinite(scores).all() and scores else -np.inf
