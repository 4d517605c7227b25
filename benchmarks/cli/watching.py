"""A run on standard error: a bar over the cells, a line for each, and the time to go."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nsbench.benchmarks.cli.console import err, escaped, say_left_out
from nsbench.benchmarks.cli.progress import time_to_go
from nsbench.benchmarks.cli.scores import mean_score
from nsbench.benchmarks.records import RunRecord
from nsbench.benchmarks.records.cell import Cell
from nsbench.benchmarks.runs.executors.base import Job
from nsbench.benchmarks.runs.watch import Watch


class Screen(Watch):
    """Shows on standard error how a run goes.

    Attributes:
        progress: A bar over the cells, to be entered while they run.
        stopping: True after Ctrl-C, which a library may have swallowed.
        names: Names of the cells; by default their whole texts.
    """

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("about"),
            TimeRemainingColumn(),
            TextColumn("to go"),
            console=err,
            disable=not err.is_terminal,
        )
        self._bar = self.progress.add_task("cells", start=False, visible=False)
        self._total = 0
        self._began, self._here = 0.0, 0
        self.stopping = False
        self.names: Callable[[Cell], str] = str

    def stage(self, text: str) -> AbstractContextManager[Any]:
        """Show a spinner."""
        return err.status(text)

    def note(self, text: str) -> None:
        """Print a sentence."""
        err.print(escaped(text), soft_wrap=True)

    def absent(self, tasks: Sequence[str]) -> None:
        """Print the evaluation tasks that are left out."""
        say_left_out(tasks)

    def begins(self, ended: int, total: int) -> None:
        """Show the bar."""
        self._total, self._began, self._here = total, time.monotonic(), 0
        self.progress.reset(self._bar, total=total, completed=ended, visible=True)

    def started(self, job: Job) -> None:
        """Show the cell next to the bar."""
        self._heed()
        self.progress.update(self._bar, description=escaped(self.names(job.planned.cell)[:60]))

    def ended(self, job: Job, record: RunRecord | None, number: int) -> None:
        """Print the cell with its score, and without a terminal the time to go."""
        self.progress.advance(self._bar)
        if record is not None:
            self._here += 1
            seconds = time.monotonic() - self._began
            left = time_to_go(self._here, self._here + self._total - number, seconds)
            place = f"[{number}/{self._total}]"
            name, left = self.names(job.planned.cell), "" if err.is_terminal else left
            _print_ended(job, record, name=name, place=place, left=left)
        self._heed()

    def _heed(self) -> None:
        if self.stopping:
            raise KeyboardInterrupt


def _print_ended(job: Job, record: RunRecord, *, name: str, place: str, left: str) -> None:
    colour = {"done": "green", "failed": "red", "skipped": "yellow"}[record.status]
    score = mean_score(job.paths.scores) if record.status == "done" else math.nan
    parts = [f"{escaped(place)} [{colour}]{record.status}[/] {escaped(name)}"]
    parts += [] if math.isnan(score) else [f"{score:.2f} points"]
    parts.append(f"{record.seconds.get('total', 0.0):.1f} s")
    if record.alarms:
        parts.append(f"[yellow]{escaped(', '.join(a['name'] for a in record.alarms))}[/]")
    parts += [f"about {left} to go"] if left else []
    reason = f": {escaped(record.reason)}" if record.reason else ""
    err.print(", ".join(parts) + reason, soft_wrap=True)
