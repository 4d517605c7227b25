"""Cells one after the other, each trained by all processes that torchrun started.

The first process claims cells, keeps the records and scores; the others wait for the key of the
next cell that is to be trained, and train it along.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from nsbench.benchmarks.contrast.distributed import ApartError, Team, join, leave, team
from nsbench.benchmarks.matrix.config import RunConfig
from nsbench.benchmarks.runs.executors.base import Ended, Job, deadline, run_job

_OVER = bytes(12)


def check_team(
    wanted: Team, settings: RunConfig, *, executor: str, workers: int, time_limit: float
) -> None:
    """See that a run makes sense under torchrun, before anything is read.

    Raises:
        ValueError: If it does not.
    """
    if wanted.size == 1:
        return
    under = f"under torchrun, with {wanted.size} processes for each cell"
    if executor != "local":
        raise ValueError(f"--executor {executor} does not work {under}: it starts its own")
    if workers > 1:
        raise ValueError(f"--workers {workers} does not work {under}: cells run one by one")
    if time_limit:
        raise ValueError(f"a time limit of a cell does not work {under}")
    if settings.device.startswith("cuda:"):
        raise ValueError(
            f"device is {settings.device!r}, but {under} each takes its own: say 'cuda'"
        )


class TeamPool:
    """Runs jobs on all processes together; the executor of the first one.

    Args:
        wanted: The team, as `nsbench.benchmarks.contrast.distributed.launched` gives it.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_hours: Hours after which no cell is begun; 0 for no limit.
    """

    def __init__(self, wanted: Team, device: str, *, max_hours: float = 0.0) -> None:
        self._deadline = deadline(max_hours)
        join(wanted, device)

    def run(
        self, jobs: Sequence[Job], on_start: Callable[[Job], None] = lambda job: None, /
    ) -> Iterator[Ended]:
        """Run jobs and yield each with its record as it ends; other processes' cells are left.

        Raises:
            StorageError: If the results folder cannot be written.
            ApartError: If the processes no longer do the same; the cell's record says how.
        """
        for job in jobs:
            if time.monotonic() > self._deadline:
                break
            on_start(job)
            record = run_job(job)
            yield job, record
            if record is not None and record.reason.startswith(ApartError.__name__):
                raise ApartError(record.reason)
        self.close()

    def close(self) -> None:
        """Tell the others that there is no more to do."""
        team().announce(_OVER)
        leave()


def follow(jobs: Sequence[Job], wanted: Team) -> None:
    """Train along, in another process than the first, until there is no more to do.

    Args:
        jobs: All cells of the matrix, as the first process planned them.
        wanted: The team.

    Raises:
        ApartError: If the processes no longer do the same.
    """
    from nsbench.benchmarks.runs.cell_run import Place, train_along

    cells = {job.planned.cell.key: job for job in jobs}
    join(wanted, jobs[0].device if jobs else "cpu")
    while (word := team().announce(_OVER)) != _OVER:
        key = word.decode()
        if key not in cells:
            raise ApartError(f"process {wanted.rank} has planned no cell {key}: other files?")
        job = cells[key]
        train_along(
            job.planned.cell,
            job.paths,
            Place(
                device=job.device,
                threads=job.threads,
                snapshot_seconds=job.snapshot_seconds,
                cache=job.cache,
            ),
        )
    leave()
