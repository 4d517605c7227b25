"""Runs planned cells here: one after the other, or in worker processes. Disk is the truth."""

import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nsbench.benchmarks.matrix import Planned
from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    read_json,
    read_record,
    write_record,
)


@dataclass(frozen=True)
class Job:
    """One cell to run."""

    planned: Planned
    paths: CellPaths
    device: str
    threads: int


def finished(paths: CellPaths, *, retry_failed: bool = False) -> RunRecord | None:
    """The record of a cell that need not run again, or ``None``.

    A record that cannot be read counts as none. A failed one counts unless it is to be retried.
    """
    try:
        record = read_record(paths)
    except RecordError:
        return None
    return None if retry_failed and record.status == "failed" else record


def claim(paths: CellPaths) -> bool:
    """Claim a cell for this process; False if a living process on this host has it."""
    paths.folder.mkdir(parents=True, exist_ok=True)
    mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()})
    for _ in range(2):
        try:
            with paths.claim.open("x") as handle:
                handle.write(mine)
            return True
        except FileExistsError:
            if _alive(paths.claim):
                return False
            paths.claim.unlink(missing_ok=True)
    return False


def _alive(path: Path) -> bool:
    """Whether the process behind a claim still runs; one of another host is believed for a day."""
    try:
        owner = read_json(path)
        host, pid, since = str(owner["host"]), int(owner["pid"]), float(owner["since"])
    except (RecordError, KeyError, TypeError, ValueError):
        return False
    if host != socket.gethostname():
        return time.time() - since < 86_400
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def run_job(job: Job) -> RunRecord | None:
    """Claim a cell and run it; ``None`` if another process has it."""
    from nsbench.benchmarks.run import run_cell

    if not claim(job.paths):
        return None
    try:
        return run_cell(
            job.planned.cell,
            job.paths,
            device=job.device,
            threads=job.threads,
            skip=job.planned.skip,
        )
    finally:
        job.paths.claim.unlink(missing_ok=True)


def run_jobs(
    jobs: Sequence[Job], workers: int, on_start: Callable[[Job], None] = lambda job: None
) -> Iterator[tuple[Job, RunRecord | None]]:
    """Run jobs and yield each as it ends.

    Args:
        jobs: Cells to run.
        workers: Processes; 1 runs them in this one.
        on_start: Called in this process when a job is handed out.
    """
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            on_start(job)
            yield job, run_job(job)
        return
    waiting = list(jobs)
    while waiting:
        waiting = yield from _one_pool(waiting, workers, on_start)


def _one_pool(
    jobs: list[Job], workers: int, on_start: Callable[[Job], None]
) -> Generator[tuple[Job, RunRecord | None], None, list[Job]]:
    """One process pool; if a worker dies, its cell fails and the rest is handed back."""
    waiting = jobs[::-1]
    with _threads_of_workers(jobs[0].threads):
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    running: dict[Future[RunRecord | None], Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                on_start(job)
                with _threads_of_workers(job.threads):
                    running[pool.submit(run_job, job)] = job
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    record = future.result()
                except BrokenProcessPool:
                    lost = list(running.values())
                    yield from _after_crash(lost)
                    return [j for j in lost if finished(j.paths) is None] + waiting[::-1]
                yield running.pop(future), record
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return []


def _after_crash(lost: Sequence[Job]) -> Iterator[tuple[Job, RunRecord | None]]:
    """Record the cells whose worker died; a cell that only shared the pool runs again."""
    time.sleep(0.2)
    for job in lost:
        record = finished(job.paths)
        if record is None and job.paths.claim.exists() and not _alive(job.paths.claim):
            if len(lost) > 1 and _crashes(job) == 0:
                job.paths.folder.joinpath("crashed").touch()
                continue  # perhaps not the culprit: one more try
            cell = job.planned.cell
            record = RunRecord(
                key=cell.key,
                cell=cell.plain() | {"labels": cell.labels},
                status="failed",
                reason="the worker process died (out of memory, or a crash in native code)",
            )
            job.paths.claim.unlink(missing_ok=True)
            write_record(job.paths, record)
        if record is not None:
            yield job, record


def _crashes(job: Job) -> int:
    return int(job.paths.folder.joinpath("crashed").exists())


@contextmanager
def _threads_of_workers(threads: int) -> Iterator[None]:
    """Let worker processes started inside read their thread counts from the environment."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    wanted = dict.fromkeys(names, str(threads)) | {"TOKENIZERS_PARALLELISM": "false"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def plan_jobs(
    planned: Sequence[Planned], folder: ResultsFolder, device: str, threads: int
) -> list[Job]:
    """A job for every planned cell."""
    return [Job(p, folder.cell(p.cell.sampler.name, p.cell.key), device, threads) for p in planned]
