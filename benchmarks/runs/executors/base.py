"""What every executor shares: a job, when it has ended, and running it under a claim.

Disk is the truth, and an executor only starts cells. Whoever runs one claims it, looks once more
whether it has been done meanwhile, runs it, and leaves a record; how it was started changes no
byte of the results.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.matrix.expand import Planned
from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    claims,
    read_record,
    write_record,
)
from nsbench.benchmarks.records.shared import Shared


@dataclass(frozen=True)
class Job:
    """One cell to run.

    Attributes:
        planned: The cell.
        paths: Its files.
        device: ``auto``, ``cpu``, ``cuda`` ...
        threads: Threads of torch and BLAS.
        replaces: Time stamp of the record that is to be replaced, in ns; 0 if there is none.
        keep_weights: Whether the trained weights stay in the cell's folder.
        snapshot_seconds: Seconds between two snapshots of a long training; 0 for none.
        cache: Folder where cells share what is slow to make; ``None`` for none.
    """

    planned: Planned
    paths: CellPaths
    device: str
    threads: int
    replaces: int = 0
    keep_weights: bool = False
    snapshot_seconds: float = 0.0
    cache: Path | None = None


Ended = tuple[Job, RunRecord | None]


def deadline(max_hours: float) -> float:
    """When a run must stop, by the monotonic clock in seconds; infinite where 0 hours are given."""
    return time.monotonic() + 3600 * max_hours if max_hours else float("inf")


def finished(
    paths: CellPaths, *, retry_failed: bool = False, shared: Shared | None = None
) -> RunRecord | None:
    """The record of a cell that need not run again, or ``None``.

    A record that cannot be read counts as none. A failed one counts unless it is to be retried.

    Args:
        paths: Files of the cell.
        retry_failed: Whether a failed cell is to run again.
        shared: For one who asks about many.
    """
    if not os.path.exists(f"{paths.folder}/record.json"):  # noqa: PTH110  (asked 100,000 times)
        return None
    try:
        record = read_record(paths, shared)
    except RecordError:
        return None
    return None if retry_failed and record.status == "failed" else record


def ended(job: Job) -> RunRecord | None:
    """The record of a job, unless it has none or only the one that is to be replaced."""
    try:
        if job.paths.record.stat().st_mtime_ns == job.replaces:
            return None
    except OSError:
        return None
    return finished(job.paths)


def to_replace(job: Job) -> Job:
    """The job, with the record that stands there now marked as one to replace."""
    try:
        return replace(job, replaces=job.paths.record.stat().st_mtime_ns)
    except OSError:
        return job


def run_job(job: Job, after_step: Callable[[], None] = lambda: None) -> RunRecord | None:
    """Claim a cell and run it; ``None`` if another process is at work on it.

    Args:
        job: The cell.
        after_step: Called after each training step.

    Raises:
        StorageError: If the results folder cannot be written.
    """
    from nsbench.benchmarks.runs.cell_run import Place, run_cell

    if job.paths.folder.is_symlink():
        raise StorageError(f"{job.paths.folder} is a link: a cell is never written through one")
    try:
        claim = claims.acquire(job.paths.claim)
        if claim is None:
            return None
        try:
            record = ended(job)
            if record is not None:  # done by another process since it was planned
                return record
            job.paths.record.unlink(missing_ok=True)
            job.paths.drop_temporary()

            def on_step(step: int) -> None:
                claim.at(step)
                after_step()

            return run_cell(
                job.planned.cell,
                job.paths,
                Place(
                    device=job.device,
                    threads=job.threads,
                    snapshot_seconds=job.snapshot_seconds,
                    cache=job.cache,
                    keep_weights=job.keep_weights,
                ),
                skip=job.planned.skip,
                on_step=on_step,
            )
        finally:
            claim.release()
    except OSError as error:  # of the cell's own errors a record was made
        raise StorageError.at(job.paths.folder, error) from None


def record_crash(job: Job, reason: str, seconds: float) -> RunRecord | None:
    """Write the failed record of a cell whose process ended without one.

    Args:
        job: The cell.
        reason: How it ended.
        seconds: How long it had been at work.

    Returns:
        Its record, an earlier one if it had one; ``None`` if another process is at work on it.
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
    snapshot_seconds: float = 0.0,
    cache: Path | None = None,
) -> list[Job]:
    """A job for every planned cell."""
    return [
        Job(
            planned=p,
            paths=folder.cell(p.cell.sampler.name, p.cell.key),
            device=device,
            threads=threads,
            keep_weights=keep_weights,
            snapshot_seconds=snapshot_seconds,
            cache=cache,
        )
        for p in planned
    ]
