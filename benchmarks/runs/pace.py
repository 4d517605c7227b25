"""The state of a list of cells: how many have ended, and how long the rest takes."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from nsbench.benchmarks.matrix.estimate import duration

T = TypeVar("T")
ENOUGH = 5
"""Ends after the first one that a rate is taken from at least: workers end in bursts."""


class Pace:
    """Counts what ends, out of ``total``; as text, what is said after a line on one of them.

    The time to go is at the mean rate from the second end on: the first one loads libraries and
    data.

    Attributes:
        total: Things that are waited for.
        done: Those that have ended.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._first = self._last = 0.0

    def counted(self, things: Iterable[T]) -> Iterator[T]:
        """Pass things on as they end, each counted before it is seen."""
        for thing in things:
            self.done += 1
            self._last = time.monotonic()
            if self.done == 1:
                self._first = self._last
            yield thing

    def __str__(self) -> str:
        if not self.done:
            return ""
        text = f" [{self.done:,} of {self.total:,}"
        left, measured = self.total - self.done, self.done - 1
        if left and measured >= ENOUGH:
            text += f", about {duration(left * (self._last - self._first) / measured)} to go"
        return text + "]"
