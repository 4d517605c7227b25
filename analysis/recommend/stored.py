"""Trainings of a recommendation as a table, from which its pages can be made again.

``trainings.csv`` has a row for every training, ``queries.parquet`` the score of every query of the
locked part. Together with ``prepared.json`` and ``plan.json`` they give all pages and files of a
recommendation again, without its texts: see `nsbench.analysis.recommend.published`.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from nsbench.analysis.recommend.arms import Arm
from nsbench.analysis.recommend.cells import DECISION, FURTHER, Ended, Key, Setting, Trainings
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.records import RecordError

TABLE, QUERIES = "trainings.csv", "queries.parquet"
COLUMNS = (
    *("stage", "recipe", "steps", "learning_rate", "seed", "status", "reason", "score"),
    *("seconds", "optimizer_steps", "encoder_passes", "sampler", "temperature"),
    *FURTHER,
)


def write_trainings(trainings: Trainings, folder: Path) -> None:
    """Write the table and the scores of queries into a folder, trainings in the order of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    every = sorted(trainings.ended.items(), key=lambda one: tuple(vars(one[0]).values()))
    for key, e in every:
        cost = [int(e.cost.get(name, 0)) for name in ("steps", "passes")]
        row = [*vars(key).values(), e.status, e.reason, repr(e.score)]
        row += [e.seconds.get("total", 0.0), *cost]
        further = [repr(e.further[name]) if name in e.further else "" for name in FURTHER]
        writer.writerow([*row, e.arm.shown, e.arm.temperature, *further])
    write_atomically(folder / TABLE, text.getvalue())
    columns = {
        _column(key): pd.Series(dict(e.by_query()))
        for key, e in every
        if key.stage == DECISION and e.status == "done"
    }
    data = pd.DataFrame(columns).rename_axis("query").reset_index().to_parquet(index=False)
    write_atomically(folder / QUERIES, data)


def _column(key: Key) -> str:
    return f"{key.recipe}, seed {key.seed}"


class Stored(Trainings):
    """Trainings that are read from a folder's table; none is run."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        folder = setting.folder
        try:
            with (folder / TABLE).open(encoding="utf-8", newline="") as file:
                self._rows = {_key(row): row for row in csv.DictReader(file)}
            self._queries = pd.read_parquet(folder / QUERIES).set_index("query")
        except (OSError, KeyError, ValueError) as error:
            raise RecordError(f"cannot read {folder}: {' '.join(str(error).split())}") from None
        for key, row in self._rows.items():  # all count as cost, also those that nothing asks for
            sampler = row["sampler"].partition("[")[0]
            self.ended[key] = self._ended(key, Arm(key.recipe, sampler))

    def _ended(self, key: Key, arm: Arm) -> Ended:
        row, column = self._rows[key], _column(key)
        queries: Mapping[str, float] | None = None
        if key.stage == DECISION and column in self._queries:
            own = self._queries[column]
            queries = dict(zip(own.index.astype(str), own.tolist(), strict=True))
        cost = {"steps": int(row["optimizer_steps"]), "passes": int(row["encoder_passes"])}
        seconds, score = {"total": float(row["seconds"])}, float(row["score"])
        texts = (row["status"], row["reason"])
        further = {name: float(row[name]) for name in FURTHER if row.get(name)}
        return Ended(arm, key.seed, *texts, score, seconds, cost, None, queries, further)

    def done(
        self, stage: str, arm: Arm, *, steps: int, learning_rate: float, seeds: Sequence[int]
    ) -> bool:
        """True if all are in the table."""
        return all(Key(stage, arm.name, steps, learning_rate, s) in self._rows for s in seeds)

    def run(
        self, stage: str, arm: Arm, *, steps: int, learning_rate: float, seeds: Sequence[int]
    ) -> list[Ended]:
        """Read trainings from the table.

        Raises:
            RecordError: If one is not there.
        """
        out = []
        for seed in seeds:
            key = Key(stage, arm.name, steps, learning_rate, seed)
            if key not in self._rows:
                raise RecordError(f"{self.setting.folder / TABLE} has no row of {key}")
            self.ended[key] = self._ended(key, arm)
            out.append(self.ended[key])
        return out


def _key(row: Mapping[str, str]) -> Key:
    numbers = int(row["steps"]), float(row["learning_rate"]), int(row["seed"])
    return Key(row["stage"], row["recipe"], *numbers)
