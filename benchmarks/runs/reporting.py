"""Reports of finished cells to experiment trackers: losses, difficulty and scores.

A cell is reported once it has its record, from its files: nothing of a training waits for a
tracker, and cells of all executors are reported alike, those of earlier runs included.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.benchmarks.files import write_atomically, written_whole
from nsbench.benchmarks.records import CellPaths, RunRecord, read_json, read_scores
from nsbench.samplers import one_of

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Told:
    """A finished cell as a tracker names it.

    Attributes:
        project: Name of the matrix.
        name: Name of the cell's folder, unique in the project.
        group: The method, the same for all of its seeds.
        config: Settings of the cell, as flat plain data.
        folder: Where the tracker may write; new and empty.
    """

    project: str
    name: str
    group: str
    config: dict[str, Any]
    folder: Path


class _TensorBoard:
    """Writes an event file."""

    def __init__(self, told: Told) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(told.folder))
        rows = "\n".join(f"| {name} | {value} |" for name, value in told.config.items())
        self.writer.add_text("cell", f"| setting | value |\n| --- | --- |\n{rows}")

    def log(self, step: int, numbers: Numbers) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    """Writes a run of Weights & Biases, offline unless ``WANDB_MODE`` says otherwise."""

    def __init__(self, told: Told) -> None:
        import wandb

        self.run: Any = wandb.init(
            project=told.project,
            name=told.name,
            group=told.group,
            config=told.config,
            dir=str(told.folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def log(self, step: int, numbers: Numbers) -> None:
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        self.run.finish()


class _Trackio:
    """Writes a run of trackio into its own database, see ``TRACKIO_DIR``."""

    def __init__(self, told: Told) -> None:
        import trackio

        self.trackio: Any = trackio
        with redirect_stdout(StringIO()):
            trackio.init(
                project=told.project,
                name=told.name,
                group=told.group,
                config=told.config,
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def log(self, step: int, numbers: Numbers) -> None:
        self.trackio.log(dict(numbers), step=step)

    def close(self) -> None:
        with redirect_stdout(StringIO()):
            self.trackio.finish()


TRACKERS: dict[str, Callable[[Told], _TensorBoard | _Trackio | _Wandb]] = {
    "tensorboard": _TensorBoard,
    "trackio": _Trackio,
    "wandb": _Wandb,
}
"""Opens the tracker of a cell: ``log`` adds the numbers of a step, in order, ``close`` finishes."""


def check_trackers(names: Sequence[str]) -> None:
    """Raise ``ValueError`` for a tracker that is unknown or not installed."""
    for name in names:
        one_of("run", "report_to", name, TRACKERS)
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"report_to: {name} is not installed: pip install {name}")


class Reports:
    """Reports cells of a run; a tracker that fails is left out of the rest, the run goes on.

    Args:
        names: Names of trackers.
        root: The results folder; ``root/reports/TRACKER/CELL`` holds what a tracker wrote.
        project: Name of the matrix.
        note: Takes a sentence for the user.
    """

    def __init__(
        self, names: Sequence[str], root: Path, project: str, note: Callable[[str], None]
    ) -> None:
        self.names, self.root = list(dict.fromkeys(names)), root / "reports"
        self.project, self.note = project, note

    def add(self, paths: CellPaths, record: RunRecord | None) -> None:
        """Report a finished cell to the trackers that do not have it yet."""
        if record is None or record.status != "done":
            return
        for name in tuple(self.names):
            place = self.root / name / paths.folder.name
            if _has(place, record):
                continue
            try:
                self._report(name, place, paths, record)
            except Exception as error:  # any of a library whose work is no part of the results
                self.names.remove(name)
                said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self.note(f"report_to: {name} fails and gets no more cells: {said}")

    def _report(self, name: str, place: Path, paths: CellPaths, record: RunRecord) -> None:
        cell = {k: v for k, v in record.cell.items() if k != "labels"}
        labels = read_json(paths.cell)["labels"]
        with written_whole(place) as folder:
            told = Told(
                project=self.project,
                name=paths.folder.name,
                group=" x ".join(str(labels[axis]) for axis in labels if labels[axis]),
                config=dict(_flat(cell)),
                folder=folder,
            )
            tracker = TRACKERS[name](told)
            for step, numbers in numbers_of(paths):
                tracker.log(step, numbers)
            tracker.close()
            write_atomically(folder / "weights.txt", record.weights)


def _has(place: Path, record: RunRecord) -> bool:
    """Return True if this very result was reported; an older one of the cell is removed."""
    try:
        same = (place / "weights.txt").read_text("utf-8") == record.weights
    except OSError:
        return False
    if not same:
        shutil.rmtree(place)
    return same


def numbers_of(paths: CellPaths) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield step and numbers of a finished cell, steps ascending.

    Names are ``train/COLUMN``, ``difficulty/QUANTITY`` (the mean) and, at the last step,
    ``score/TASK/SPLIT/METRIC``.
    """
    steps: dict[int, dict[str, float]] = {}
    if paths.training.is_file():
        for row in pd.read_csv(paths.training).to_dict("records"):
            step = steps.setdefault(int(row.pop("step")), {})
            step.update({f"train/{name}": float(value) for name, value in row.items()})
    if paths.difficulty.is_file():
        measured = pd.read_parquet(paths.difficulty, columns=["step", "quantity", "mean"])
        for number, quantity, mean in measured.itertuples(index=False):
            steps.setdefault(int(number), {})[f"difficulty/{quantity}"] = float(mean)
    last = steps.setdefault(max(steps, default=0), {})
    for score in (s for s in read_scores(paths.scores) if s.main):
        name = f"score/{score.task}/{score.split}/{score.metric}"
        name += "" if score.subset == "default" else f"/{score.subset}"
        last[name] = score.value
    for number in sorted(steps):
        yield number, {k: v for k, v in steps[number].items() if v == v}  # NaN is no number


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and plain values of nested data: ``encoder.params.layers``."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        plain = isinstance(value, str | int | float | bool)
        yield name, value if plain else str(value)
