"""Interleave several cells in one process to keep a GPU busy.

Their trainings take turns step by step, see `training.replay.side_by_side`: results are those of
cells run alone. A cell that a group leaves without a record, because its process died or because
another run has claimed it, is run alone by `runs.executors.local`, which finds out why.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from nsbench.benchmarks import hub
from nsbench.benchmarks.device import pick_device
from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.matrix.executors import ExecutorSettings, register
from nsbench.benchmarks.records import RunRecord
from nsbench.benchmarks.runs.executors import base
from nsbench.benchmarks.runs.executors.local import LocalPool
from nsbench.benchmarks.runs.executors.worker_server import (
    process_context,
    threads_of_workers,
    undisturbed,
)

MOST = 8
"""Cells that the packer lets share a device at most."""
SHARE = 0.8
"""Share of a device's memory that the packer fills."""
BETTER = 1.05
"""Factor in cells per second that more cells at a time must bring to be worth it."""
_STOP_SECONDS = 5.0


class Packer:
    """Number of cells that share a device: doubled while it pays and they fit.

    Args:
        memory: Bytes of the device; 0 for no limit.

    Attributes:
        size: Cells of the next group.
    """

    def __init__(self, memory: int) -> None:
        self.size = 1
        self._memory, self._rate, self._settled = memory, 0.0, False

    def ended(self, cells: int, seconds: float, peak: int) -> None:
        """Choose the size of the next group from one that has ended.

        Args:
            cells: Its number of cells; a group that was not full says nothing of speed.
            seconds: Its wall time.
            peak: Most bytes of the device that it held.
        """
        if cells != self.size or self._settled or seconds <= 0:
            return
        rate = cells / seconds
        if rate < BETTER * self._rate:
            self.size, self._settled = max(1, self.size // 2), True
            return
        self._rate = rate
        fits = not self._memory or 2 * peak <= SHARE * self._memory
        if fits and 2 * self.size <= MOST:
            self.size *= 2
        else:
            self._settled = True


@register("beside")
class BesidePool:
    """Runs jobs in groups that share a process and its device.

    Args:
        beside: Cells of a group; 0 lets a `Packer` choose.
        alone: Runs the cells that groups leave without a record.
        max_hours: Hours after which no group is begun; 0 for no limit.
        on_note: Called with a sentence when there is something to say.
    """

    Settings = ExecutorSettings

    @classmethod
    def check(cls, request: base.Request) -> None:
        """Refuse what makes no sense for cells in one process, before any data are read.

        Raises:
            ValueError: If something does.
        """
        with_ = "--beside does not work with"
        if request.executor not in ("local", "beside"):
            raise ValueError(f"{with_} --executor {request.executor}: cells run elsewhere")
        if request.workers > 1:
            raise ValueError(f"{with_} --workers {request.workers}: all cells share one process")
        if request.time_limit:
            raise ValueError(f"{with_} a time limit of a cell: it would stop them all")

    @classmethod
    def of(cls, request: base.Request, settings: ExecutorSettings) -> "BesidePool":
        """Return an executor for one run."""
        alone = LocalPool.of(request, settings)
        beside, hours = request.beside, request.max_hours
        return cls(beside, alone, max_hours=hours, on_note=request.on_note)

    def __init__(
        self,
        beside: int,
        alone: LocalPool,
        *,
        max_hours: float = 0.0,
        on_note: Callable[[str], None] = base.silent,
    ) -> None:
        self._beside, self._alone, self._note = beside, alone, on_note
        self._deadline = base.deadline(max_hours)
        self.packer: Packer | None = None
        self.groups: list[int] = []

    def run(
        self, jobs: Sequence[base.Job], on_start: base.OnStart = base.no_start, /
    ) -> Iterator[base.Ended]:
        """Run jobs and yield each with its record as it ends.

        Raises:
            StorageError: If the results folder cannot be written; nothing is lost by it.
        """
        waiting, left = list(jobs), []
        if not self._beside and jobs:
            self.packer = Packer(device_memory(jobs[0].device))
        while waiting and time.monotonic() < self._deadline:
            size = self._beside if self.packer is None else self.packer.size
            group, waiting = waiting[:size], waiting[size:]
            self.groups.append(len(group))
            for job in group:
                on_start(job)
            done: set[str] = set()
            for job, record in self._run_group(group):
                done.add(job.planned.cell.key)
                yield job, record
            for job in group:
                if job.planned.cell.key in done:
                    continue
                if (found := base.ended(job)) is None:
                    left.append(job)
                else:  # its process died before it could send it
                    yield job, found
        if left:
            self._note(f"{len(left)} cells that ended without a record are run again, alone")
            yield from self._alone.run(left, on_start)

    def _run_group(self, group: Sequence[base.Job]) -> Iterator[base.Ended]:
        context = process_context()
        pipe, theirs = context.Pipe()
        given = (theirs, list(group), hub.state())
        process = context.Process(target=_work, args=given, daemon=True)
        began, peak = time.monotonic(), 0
        with threads_of_workers(group[0].threads), undisturbed():
            process.start()
        theirs.close()
        try:
            while True:
                try:
                    said = pipe.recv()
                except (EOFError, OSError):
                    break
                if isinstance(said, StorageError):
                    raise said
                if isinstance(said, int):
                    peak = said
                    continue
                place, record = said
                if record is not None:
                    yield group[place], record
            if self.packer is not None:
                self.packer.ended(len(group), time.monotonic() - began, peak)
        finally:
            process.terminate()
            process.join(_STOP_SECONDS)
            pipe.close()


def device_memory(name: str) -> int:
    """Return the bytes of memory of a device; 0 for a CPU."""
    device = pick_device(name)
    if device.type != "cuda":
        return 0
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def _work(pipe: Connection, jobs: list[base.Job], hub_state: tuple[bool, tuple[str, ...]]) -> None:
    """Run a group; send the record of each cell, and the peak of the device's memory."""
    import torch

    from nsbench.benchmarks.training.replay.side_by_side import in_turn

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and stops this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    hub.take(hub_state)
    device = pick_device(jobs[0].device)

    def work(place: int, pass_on: Callable[[], None]) -> None:
        record: RunRecord | StorageError | None
        try:
            record = base.run_job(jobs[place], after_step=pass_on)
        except StorageError as error:
            record = error
        said: Any = record if isinstance(record, StorageError) else (place, record)
        with suppress(BrokenPipeError):
            pipe.send(said)

    found = in_turn([partial(work, place) for place in range(len(jobs))], device)
    if device.type == "cuda":
        with suppress(BrokenPipeError):
            pipe.send(torch.cuda.max_memory_reserved(device))
    for error in found:
        if error is not None:
            raise error
