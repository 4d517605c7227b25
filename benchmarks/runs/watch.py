"""Messages of a run to those who watch it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from nsbench.benchmarks.records import RunRecord
from nsbench.benchmarks.runs.executors.base import Job


class Watch:
    """Hears how a run goes; every method does nothing, for subclasses to do more."""

    def stage(self, text: str) -> AbstractContextManager[Any]:
        """Enter a stage of the preparation that takes a while."""
        return nullcontext()

    def note(self, text: str) -> None:
        """Take a sentence for the user."""

    def absent(self, tasks: Sequence[str]) -> None:
        """Take the evaluation tasks that are missing here and left out."""

    def begins(self, ended: int, total: int) -> None:
        """Begin to run cells."""

    def started(self, job: Job) -> None:
        """A cell starts."""

    def ended(self, job: Job, record: RunRecord | None, number: int) -> None:
        """A cell has ended, as the ``number``-th; without a record if another process runs it."""
