"""Run cells one after the other, each trained by all processes that torchrun started.

The first process claims cells, evaluates them and writes the records; the others wait for the key
of the next cell and train it together with the first.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nsbench.benchmarks.matrix.executors import ExecutorSettings, register
from nsbench.benchmarks.runs.executors import base

if TYPE_CHECKING:
    from nsbench.benchmarks.contrast.distributed import Team

_OVER = bytes(12)


@register("team")
class TeamPool:
    """Runs jobs on all processes of torchrun together; the executor of the first one.

    Args:
        wanted: The team, as `nsbench.benchmarks.contrast.distributed.launched` gives it.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_hours: Hours after which no cell is begun; 0 for no limit.
    """

    Settings = ExecutorSettings

    @classmethod
    def check(cls, request: base.Request) -> None:
        """Refuse what makes no sense under torchrun, before any data are read.

        Raises:
            ValueError: If something does.
        """
        under = "under torchrun, with several processes for each cell"
        if request.executor != "local":
            raise ValueError(
                f"--executor {request.executor} does not work {under}: it starts its own"
            )
        if request.workers > 1:
            raise ValueError(
                f"--workers {request.workers} does not work {under}: cells run one by one"
            )
        if request.beside != 1:
            raise ValueError(f"--beside does not work {under}")
        if request.time_limit:
            raise ValueError(f"a time limit of a cell does not work {under}")
        if request.device.startswith("cuda:"):
            raise ValueError(
                f"device is {request.device!r}, but {under} each takes a separate one: say 'cuda'"
            )

    @classmethod
    def of(cls, request: base.Request, settings: ExecutorSettings) -> "TeamPool":
        """Return an executor for one run."""
        from nsbench.benchmarks.contrast.distributed import launched  # with torch

        return cls(launched(), request.device, max_hours=request.max_hours)

    def __init__(self, wanted: "Team", device: str, *, max_hours: float = 0.0) -> None:
        from nsbench.benchmarks.contrast.distributed import join

        self._deadline = base.deadline(max_hours)
        join(wanted, device)

    def run(
        self, jobs: Sequence[base.Job], on_start: base.OnStart = base.no_start, /
    ) -> Iterator[base.Ended]:
        """Run jobs and yield each with its record as it ends.

        Raises:
            StorageError: If the results folder cannot be written.
            ApartError: If the processes no longer do the same; the cell's record says how.
        """
        from nsbench.benchmarks.contrast.distributed import ApartError

        for job in jobs:
            if time.monotonic() > self._deadline:
                break
            on_start(job)
            record = base.run_job(job)
            yield job, record
            if record is not None and record.reason.startswith(ApartError.__name__):
                raise ApartError(record.reason)
        self.close()

    def close(self) -> None:
        """Tell the other processes that all is done."""
        from nsbench.benchmarks.contrast.distributed import leave, team

        team().announce(_OVER)
        leave()


def follow(jobs: Sequence[base.Job], wanted: "Team") -> None:
    """Train with the first process, in any of the others, until all is done.

    Raises:
        ApartError: If the processes no longer do the same.
    """
    from nsbench.benchmarks.contrast.distributed import ApartError, join, leave, team
    from nsbench.benchmarks.runs.cell_run import train_along

    cells = {job.planned.cell.key: job for job in jobs}
    join(wanted, jobs[0].device if jobs else "cpu")
    while (word := team().announce(_OVER)) != _OVER:
        key = word.decode()
        if key not in cells:
            raise ApartError(f"{wanted} has planned no cell {key}: other files?")
        job = cells[key]
        train_along(job.planned.cell, job.paths, job.place())
    leave()
