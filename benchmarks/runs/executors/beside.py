"""Several cells at a time in one process, for a device that one cell leaves idle.

Their trainings take turns step by step, see `training.replay.side_by_side`: results are those of
cells run alone. What a group leaves without a record, because its process died or because another
run was at work on it, is run alone by `runs.executors.local`, which finds out why.
"""

import gc
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from nsbench.benchmarks import hub
from nsbench.benchmarks.contrast.distributed import Team
from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.records import RunRecord
from nsbench.benchmarks.runs.executors.base import Ended, Job, deadline, ended, run_job
from nsbench.benchmarks.runs.executors.local import LocalPool
from nsbench.benchmarks.runs.executors.worker_server import (
    no_main,
    process_context,
    threads_of_workers,
)

MOST = 8
"""Cells that the packer lets share a device at most."""
SHARE = 0.8
"""Share of a device's memory that the packer fills."""
BETTER = 1.05
"""Factor in cells per second that more cells at a time must bring to be worth it."""
_STOP_SECONDS = 5.0


class Packer:
    """How many cells share a device: twice as many as before while that pays and they fit.

    Args:
        memory: Bytes of the device; 0 for one whose memory does not matter.

    Attributes:
        size: Cells of the next group.
    """

    def __init__(self, memory: int) -> None:
        self.size = 1
        self._memory, self._rate, self._settled = memory, 0.0, False

    def ended(self, cells: int, seconds: float, peak: int) -> None:
        """Take in a group that has ended.

        Args:
            cells: Its cells; a group that was not full says nothing of speed.
            seconds: What it took.
            peak: Bytes of the device that it held at most.
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


class BesidePool:
    """Runs jobs in groups that share a process and its device.

    Args:
        beside: Cells of a group; 0 lets a `Packer` choose.
        alone: Runs what the groups leave.
        max_hours: Hours after which no group is begun; 0 for no limit.
        on_note: Called with a sentence when there is something to say.
    """

    def __init__(
        self,
        beside: int,
        alone: LocalPool,
        *,
        max_hours: float = 0.0,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._beside, self._alone, self._note = beside, alone, on_note
        self._deadline = deadline(max_hours)
        self.packer: Packer | None = None
        self.groups: list[int] = []

    def run(
        self, jobs: Sequence[Job], on_start: Callable[[Job], None] = lambda job: None, /
    ) -> Iterator[Ended]:
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
                if (found := ended(job)) is None:
                    left.append(job)
                else:  # its process died before it could say so
                    yield job, found
        if left:
            self._note(f"{len(left)} cells that a group left without a record are run alone")
            yield from self._alone.run(left, on_start)

    def _run_group(self, group: Sequence[Job]) -> Iterator[Ended]:
        context = process_context()
        pipe, theirs = context.Pipe()
        given = (theirs, list(group), hub.state())
        process = context.Process(target=_work, args=given, daemon=True)
        began, peak = time.monotonic(), 0
        with threads_of_workers(group[0].threads), no_main():
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


def check_beside(group: Team, *, executor: str, workers: int, time_limit: float) -> None:
    """See that cells can share a process, before anything is read.

    Raises:
        ValueError: If something else that was asked for makes no sense with it.
    """
    if executor != "local":
        raise ValueError(f"--beside does not work with --executor {executor}: cells run elsewhere")
    if group.size > 1:
        raise ValueError("--beside does not work under torchrun: a cell has several processes")
    if workers > 1:
        raise ValueError(
            f"--beside does not work with --workers {workers}: one process takes turns"
        )
    if time_limit:
        raise ValueError(
            "--beside does not work with a time limit of a cell: it would stop them all"
        )


def device_memory(name: str) -> int:
    """Bytes of the device that a cell would take; 0 on a CPU."""
    from nsbench.benchmarks.device import pick_device

    device = pick_device(name)
    if device.type != "cuda":
        return 0
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def _work(pipe: Connection, jobs: list[Job], hub_state: tuple[bool, tuple[str, ...]]) -> None:
    """Run a group; say what became of each cell, and the peak of the device's memory."""
    import torch

    from nsbench.benchmarks.device import pick_device
    from nsbench.benchmarks.training.replay.side_by_side import in_turn

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and stops us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    hub.take(hub_state)
    device = pick_device(jobs[0].device)

    def work(place: int, pass_on: Callable[[], None]) -> None:
        record: RunRecord | StorageError | None
        try:
            record = run_job(jobs[place], after_step=pass_on)
        except StorageError as error:
            record = error
        said: Any = record if isinstance(record, StorageError) else (place, record)
        with suppress(BrokenPipeError):
            pipe.send(said)
        gc.collect()  # a cell's memory on the device is free for the others

    found = in_turn([partial(work, place) for place in range(len(jobs))], device)
    if device.type == "cuda":
        with suppress(BrokenPipeError):
            pipe.send(torch.cuda.max_memory_reserved(device))
    for error in found:
        if error is not None:
            raise error
