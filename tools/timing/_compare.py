"""Two sides that do the same work in turn, and the file in which the comparison is kept."""

import csv
import io
import math
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from nsbench.benchmarks.files import write_atomically

PEERS = "peers.csv"
COLUMNS = ("job", "threads", "unit", "round", "ours_seconds", "theirs_seconds", "ratio", "against")
PLACE = ("note", "torch", "transformers", "platform")


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: What it is.
        run: Does the work and gives the seconds of each of its units, and something to compare.
    """

    name: str
    run: Callable[[], tuple[list[float], Any]]


@dataclass(frozen=True)
class Compared:
    """Result of a job.

    Attributes:
        job: Its name.
        unit: What was timed.
        ours: Seconds of a unit in each round, the mean over its units.
        theirs: Likewise.
        against: Who they are.
        note: How the answers compare.
    """

    job: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    against: str
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """Theirs to ours, round by round."""
        return [t / o for o, t in zip(self.ours, self.theirs, strict=True)]

    def line(self) -> str:
        """The measurement as one line of text."""
        low, high = min(self.ratios), max(self.ratios)
        return (
            f"{self.job:17} {1e3 * statistics.median(self.ours):10.1f} "
            f"{1e3 * statistics.median(self.theirs):10.1f} "
            f"{statistics.median(self.ratios):7.2f}  {low:.2f} to {high:.2f}  "
            f"{self.unit}, against {self.against}. {self.note}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per round, of `COLUMNS` and `PLACE`."""
        rounds = enumerate(zip(self.ours, self.theirs, self.ratios, strict=True), start=1)
        shared = {
            "job": self.job,
            "threads": torch.get_num_threads(),
            "unit": self.unit,
            "against": self.against,
            "note": self.note,
            **place(),
        }
        return [
            shared
            | {
                "round": i,
                "ours_seconds": f"{ours:.4g}",
                "theirs_seconds": f"{theirs:.4g}",
                "ratio": f"{ratio:.3f}",
            }
            for i, (ours, theirs, ratio) in rounds
        ]


def place() -> dict[str, str]:
    """Return versions and the processor's kind."""
    try:
        transformers = version("transformers")
    except PackageNotFoundError:
        transformers = ""
    return {
        "torch": torch.__version__,
        "transformers": transformers,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the least-squares line through the logarithms."""
    x = [math.log(s) for s in sizes]
    y = [math.log(v) for v in values]
    return statistics.linear_regression(x, y).slope


def compared(
    job: str,
    unit: str,
    ours: Side,
    theirs: Side,
    rounds: int,
    judge: Callable[[Any, Any], str] = lambda ours, theirs: "",
) -> Compared:
    """Run both sides in turn and compare.

    Args:
        job: Its name.
        unit: What is timed.
        ours: Our side.
        theirs: The other.
        rounds: How often each runs, >= 1.
        judge: Says in words how the two answers of the last round compare.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    answers: list[Any] = [None, None]
    for _ in range(rounds):
        for side_number, side in enumerate((ours, theirs)):
            units, answers[side_number] = side.run()
            seconds[side_number].append(statistics.fmean(units))
    return Compared(job, unit, tuple(seconds[0]), tuple(seconds[1]), theirs.name, judge(*answers))


HEAD = f"{'job':17} {'ours ms':>10} {'theirs ms':>10} {'ratio':>7}  lowest to highest ratio\n"
"""Line above those that `tell` prints."""


def tell(found: Compared, out: Path | None) -> None:
    """Print the line of a job, and keep its rounds in a folder's `PEERS` if there is one."""
    sys.stdout.write(found.line() + "\n")
    sys.stdout.flush()
    if out:
        keep(out / PEERS, found.rows(), (*COLUMNS, *PLACE), "job")


def keep(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], by: str) -> None:
    """Write rows to a CSV file, in place of those that agree with them in ``by`` and threads.

    Args:
        path: The file; made if missing, with its folder.
        rows: Rows of ``columns``.
        columns: The file's columns.
        by: Column whose values, with ``threads``, say what a row is about.
    """
    kept: list[Mapping[str, Any]] = []
    if path.exists():
        new = {(str(row[by]), str(row["threads"])) for row in rows}
        with path.open(newline="", encoding="utf-8") as file:
            kept = [r for r in csv.DictReader(file) if (r[by], r["threads"]) not in new]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows([*kept, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue())
