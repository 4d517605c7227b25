"""Progress on standard error: texts embedded, and how long the rest takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nsbench.benchmarks.cli.console import err, escaped
from nsbench.benchmarks.matrix.estimate import duration

EVERY = 20.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def texts_shown(title: str) -> Iterator[None]:
    """Show how many texts are embedded inside the block, and the time to go.

    A terminal gets a bar; a file or pipe a line every `EVERY` seconds.
    """
    from nsbench.benchmarks.encoders.progress import heard_by  # imports torch

    if not err.is_terminal:
        with heard_by(Lines(title)):
            yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("texts"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task(escaped(title), total=None)

        def hear(done: int, total: int) -> None:
            if progress.tasks[bar].completed > done:  # the next call begins
                progress.reset(bar)
            progress.update(bar, completed=done, total=total)

        with heard_by(hear):
            yield


class Lines:
    """Prints a line after every so many seconds, and before the first."""

    def __init__(self, title: str, every: float = EVERY) -> None:
        self._title, self._every = title, every
        self._done, self._began, self._said = 0, time.monotonic(), time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Hear of ``done`` embedded texts out of ``total``."""
        now = time.monotonic()
        if done <= self._done:
            self._began = now  # the next call; its first batch took a time that is not known
        self._done = done
        if now - self._said < self._every:
            return
        self._said = now
        text = f"{self._title}: {done:,} of {total:,} texts"
        if left := time_to_go(done, total, now - self._began):
            text += f", about {left} to go"
        err.print(escaped(text), soft_wrap=True)


def time_to_go(done: int, total: int, seconds: float) -> str:
    """Return in words how long the rest takes at the rate so far; empty if unknown or none."""
    if done <= 0 or done >= total or seconds <= 0:
        return ""
    return duration(seconds * (total - done) / done)
