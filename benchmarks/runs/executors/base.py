"""Parts shared by all executors: a job, its end, and running it under a claim.

The disk says what is done, and an executor only starts cells. A process claims a cell, checks once
more that no other has run it meanwhile, runs it, and leaves a record; how it was started changes
no byte of the results.

A new executor is one file in this folder, or a plugin: a class that is an `Executor`, registered
under a name, with a model of its settings if a matrix file can set it up.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.matrix.config import RunConfig
from nsbench.benchmarks.matrix.executors import ExecutorSettings, executors
from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    claims,
    read_record,
    write_record,
)
from nsbench.benchmarks.records.cell import Planned
from nsbench.benchmarks.records.shared import Shared
from nsbench.benchmarks.runs.memory import ended_cells

if TYPE_CHECKING:
    from nsbench.benchmarks.runs.cell_run import Place


@dataclass(frozen=True)
class Job:
    """One cell to run.

    Attributes:
        planned: The cell.
        paths: Its files.
        device: ``auto``, ``cpu``, ``cuda`` ...
        threads: Threads of torch and BLAS.
        replaces: Time stamp of the record to replace, in ns; 0 if there is none.
        keep_weights: Keep the trained weights in the cell's folder.
        keep_texts: Keep the texts of the choices there.
        snapshot_seconds: Seconds between two snapshots of a long training; 0 for none.
        cache: Folder where cells share what takes long to compute; ``None`` for none.
    """

    planned: Planned
    paths: CellPaths
    device: str
    threads: int
    replaces: int = 0
    keep_weights: bool = False
    keep_texts: bool = True
    snapshot_seconds: float = 0.0
    cache: Path | None = None

    def place(self) -> "Place":
        """Return where the cell runs, and what is kept of it."""
        from nsbench.benchmarks.runs.cell_run import Place

        return Place(**{f.name: getattr(self, f.name) for f in fields(Place)})


Ended = tuple[Job, RunRecord | None]
OnStart = Callable[[Job], None]


def silent(text: str) -> None:
    """Say nothing."""


def no_start(job: Job) -> None:
    """Ignore that a job starts."""


@dataclass(frozen=True)
class Request:
    """Instructions of a run to its executor.

    Attributes:
        folder: The results folder.
        executor: Name of the executor that was asked for.
        device: ``auto``, ``cpu``, ``cuda`` ...
        threads: Threads of torch and BLAS in each cell.
        workers: Worker processes; 0 lets the executor choose.
        beside: Cells interleaved in one process; 0 lets the executor choose.
        address: Address of a cluster; empty for the one in the settings.
        time_limit: Seconds that a cell may take; 0 for no limit.
        max_hours: Hours after which the run stops; 0 for no limit.
        on_note: Called with a sentence when there is something to say.
    """

    folder: ResultsFolder
    executor: str = "local"
    device: str = "auto"
    threads: int = 1
    workers: int = 0
    beside: int = 1
    address: str = ""
    time_limit: float = 0.0
    max_hours: float = 0.0
    on_note: Callable[[str], None] = silent


class Executor(Protocol):
    """Runs jobs; a class with a name in `nsbench.benchmarks.matrix.executors.executors`.

    Attributes:
        Settings: Model of the table ``[run.NAME]`` of a matrix file.
    """

    Settings: ClassVar[type[ExecutorSettings]]

    @classmethod
    def check(cls, request: Request) -> None:
        """Raise ``ValueError`` if the request makes no sense, before any data are read."""
        return  # by default, every request does

    @classmethod
    def of(cls, request: Request, settings: Any) -> "Executor":
        """Return an executor for one run."""

    def run(self, jobs: Sequence[Job], on_start: OnStart = no_start, /) -> Iterator[Ended]:
        """Run jobs and yield each with its record as it ends.

        A job that another process runs is yielded with ``None``, or not at all.

        Args:
            jobs: Are run in this order, as far as they run one after the other.
            on_start: Hears of each job before it starts; again if it has to start again.

        Raises:
            StorageError: If the results folder cannot be written; what has ended is kept.
        """


def executor_of(name: str) -> type[Executor]:
    """Return the executor of a name.

    Raises:
        UnknownNameError: If there is none.
    """
    return executors.entry(name).cls


def deadline(max_hours: float) -> float:
    """Return when to stop, in seconds of the monotonic clock; infinite for 0 hours."""
    return time.monotonic() + 3600 * max_hours if max_hours else float("inf")


def finished(
    paths: CellPaths, *, retry_failed: bool = False, shared: Shared | None = None
) -> RunRecord | None:
    """Return the record of a cell that need not run again, or ``None``.

    Args:
        paths: Files of the cell.
        retry_failed: Return ``None`` for a failed cell.
        shared: Keeps equal parts of many records once.
    """
    if not os.path.exists(f"{paths.folder}/record.json"):  # noqa: PTH110  (asked 100,000 times)
        return None
    try:
        record = read_record(paths, shared)
    except RecordError:
        return None
    return None if retry_failed and record.status == "failed" else record


def ended(job: Job) -> RunRecord | None:
    """Return the record of a job, ``None`` while there is none but the one to replace."""
    try:
        if job.paths.record.stat().st_mtime_ns == job.replaces:
            return None
    except OSError:
        return None
    return finished(job.paths)


def to_replace(job: Job) -> Job:
    """Return the job with the present record, if any, marked as the one to replace."""
    try:
        return replace(job, replaces=job.paths.record.stat().st_mtime_ns)
    except OSError:
        return job


def run_job(job: Job, after_step: Callable[[], None] = lambda: None) -> RunRecord | None:
    """Claim a cell, run it and return its record; ``None`` if another process is running it.

    Raises:
        StorageError: If the results folder cannot be written.
    """
    from nsbench.benchmarks.runs.cell_run import run_cell

    if job.paths.folder.is_symlink():
        raise StorageError(f"{job.paths.folder} is a link: a cell is never written through one")
    try:
        claim = claims.acquire(job.paths.claim)
        if claim is None:
            return None
        try:
            record = ended(job)
            if record is not None:  # another process has run it since it was planned
                return record
            job.paths.record.unlink(missing_ok=True)
            job.paths.drop_temporary()

            def on_step(step: int) -> None:
                claim.at(step)
                after_step()

            cell, skip = job.planned.cell, job.planned.skip
            return run_cell(cell, job.paths, job.place(), skip=skip, on_step=on_step)
        finally:
            claim.release()
            ended_cells.free()
    except OSError as error:  # errors of the cell itself are in its record
        raise StorageError.at(job.paths.folder, error) from None


def record_crash(job: Job, reason: str, seconds: float) -> RunRecord | None:
    """Write the failed record of a cell whose process ended without one.

    Returns:
        Its record, an earlier one if it had one; ``None`` if another process is running it.
    """
    try:
        claim = claims.acquire(job.paths.claim)
    except OSError as error:
        raise StorageError.at(job.paths.folder, error) from None
    if claim is None:
        return None
    try:
        record = ended(job)
        if record is None:
            cell, now = job.planned.cell, datetime.now(UTC)
            record = RunRecord(
                key=cell.key,
                cell=cell.plain() | {"labels": cell.labels},
                status="failed",
                reason=reason,
                seconds={"total": round(seconds, 3)},
                started=(now - timedelta(seconds=seconds)).isoformat(timespec="seconds"),
                finished=now.isoformat(timespec="seconds"),
            )
            write_record(job.paths, record)
        return record
    finally:
        claim.release()


def plan_jobs(
    planned: Sequence[Planned],
    folder: ResultsFolder,
    device: str,
    threads: int,
    *,
    keep_weights: bool = False,
    keep_texts: bool = True,
    snapshot_seconds: float = 0.0,
    cache: Path | None = None,
) -> list[Job]:
    """Return a job for every planned cell."""
    return [
        Job(
            planned=p,
            paths=folder.cell(p.cell.sampler.name, p.cell.key),
            device=device,
            threads=threads,
            keep_weights=keep_weights,
            keep_texts=keep_texts,
            snapshot_seconds=snapshot_seconds,
            cache=cache,
        )
        for p in planned
    ]


def jobs_of_run(
    planned: Sequence[Planned],
    folder: ResultsFolder,
    run: RunConfig,
    *,
    minutes: float | None = None,
    cache: Path | None = None,
) -> list[Job]:
    """Return a job for every planned cell, with all that the table ``[run]`` of its matrix asks.

    Args:
        planned: The cells.
        folder: The results folder.
        run: The table.
        minutes: Between two checkpoints of a training, if another number than the table's.
        cache: Folder where cells share what takes long to compute; ``None`` for none.
    """
    return plan_jobs(
        planned,
        folder,
        run.device,
        run.threads,
        keep_weights=run.keep_weights,
        keep_texts=run.keep_texts,
        snapshot_seconds=60 * (run.checkpoint_minutes if minutes is None else minutes),
        cache=cache,
    )
