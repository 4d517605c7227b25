"""Worker processes: crashes, time limits and budgets end a cell, never the matrix."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from running import Build, jobs_of, run_jobs, until

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.records import claims, read_record
from nsbench.benchmarks.runs.executors import local
from nsbench.benchmarks.runs.executors.base import Job, run_job, to_replace
from nsbench.benchmarks.runs.executors.local import LocalPool


def long(raw: dict[str, Any]) -> dict[str, Any]:
    """More steps than a test waits for."""
    raw["budget"]["steps"] = 1_000_000
    return raw


@contextmanager
def when_at_work(job: Job, act: Callable[[int], None]) -> Iterator[None]:
    """Do something with the process that runs a job, once one does."""

    def wait() -> None:
        owner = until(lambda: claims.read_owner(job.paths.claim))
        act(owner.pid)

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "SIGKILL (by hand, or by a limit"), (signal.SIGSEGV, "SIGSEGV (a crash in")],
)
def test_a_worker_that_dies_costs_its_cell_only(
    small: Build, tmp_path: Path, number: signal.Signals, words: str
) -> None:
    first = jobs_of(long(small(seeds=[1])), tmp_path)[0]
    rest = jobs_of(small(seeds=[2, 3]), tmp_path)
    with when_at_work(first, lambda pid: os.kill(pid, number)):
        ended = list(LocalPool(1).run([first, *rest]))
    assert [r.status for _, r in ended if r] == ["failed", "done", "done"]
    record = read_record(first.paths)
    assert words in record.reason
    assert record.key == first.planned.cell.key
    assert not first.paths.claim.exists()


def test_a_cell_that_takes_too_long_is_stopped_and_failed(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [*jobs_of(long(small()), tmp_path), *jobs_of(small(seeds=[2]), tmp_path)]

    def seconds(worker: Any) -> float:  # the clock of a worker: the first cell takes for ever
        return 9.0 if worker.job is jobs[0] and jobs[0].paths.claim.exists() else 0.0

    monkeypatch.setattr(local._Worker, "seconds", property(seconds))
    (_, slow), (_, quick) = LocalPool(1, time_limit=8).run(jobs)
    assert (slow.status, quick.status) == ("failed", "done")
    assert slow.reason == "stopped after 8 s, the time limit of a cell"
    assert slow.seconds["total"] == 9


def test_a_budget_of_hours_stops_cleanly(small: Build, tmp_path: Path) -> None:
    jobs = jobs_of(long(small(seeds=[1, 2, 3])), tmp_path)
    pool = LocalPool(1, max_hours=100)
    with when_at_work(jobs[0], lambda pid: setattr(pool, "_deadline", 0.0)):
        assert list(pool.run(jobs)) == []
    assert pool.left == 3
    assert not list(tmp_path.rglob("record.json"))
    assert not list(tmp_path.rglob("claim.json"))


def test_a_worker_that_is_asked_to_stop_gives_its_cell_back(small: Build, tmp_path: Path) -> None:
    raw = small()
    raw["budget"]["steps"] = 2000
    (job,) = jobs_of(raw, tmp_path)

    def stop(pid: int) -> None:
        until(lambda: job.paths.log.exists() and "start: " in job.paths.log.read_text())
        os.kill(pid, signal.SIGTERM)

    with when_at_work(job, stop):
        assert [r.status for _, r in LocalPool(1).run([job]) if r] == ["done"]
    assert job.paths.log.read_text().count("start: ") == 2


def test_a_start_is_heard_of_before_a_worker_has_the_cell(small: Build, tmp_path: Path) -> None:
    pool = LocalPool(2)
    jobs = jobs_of(small(seeds=[1, 2, 3]), tmp_path)
    at_work: list[bool] = []

    def hear(job: Job) -> None:
        at_work.append(any(w.job is job for w in pool._workers) or job.paths.log.exists())

    assert len(list(pool.run(jobs, hear))) == 3
    assert at_work == [False] * 3


def test_the_server_of_workers_may_die_too(small: Build, tmp_path: Path) -> None:
    jobs = jobs_of(small(seeds=[1, 2, 3]), tmp_path)
    run = LocalPool(1).run(jobs)
    first = next(run)[1]
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    os.kill(server, signal.SIGKILL)
    records = [first, *(record for _, record in run)]
    assert sorted(r.key for r in records if r) == sorted(j.planned.cell.key for j in jobs)
    assert [r.status for r in records if r] == ["done"] * 3


def test_a_cell_that_runs_elsewhere_is_waited_for_and_taken_over(
    small: Build, tmp_path: Path
) -> None:
    jobs = jobs_of(small(seeds=[1, 2]), tmp_path)
    claim = claims.acquire(jobs[0].paths.claim)
    notes = []

    def note(text: str) -> None:
        notes.append(text)
        claim.release()

    ended = [(j.planned.cell.seed, r.status) for j, r in LocalPool(1, on_note=note).run(jobs) if r]
    assert ended == [(2, "done"), (1, "done")]
    assert len(notes) == 1
    assert f"waiting for 1 cells that run elsewhere (process {os.getpid()} on" in notes[0]


def test_a_record_written_elsewhere_meanwhile_is_taken_as_it_is(
    small: Build, tmp_path: Path
) -> None:
    job = jobs_of(small(), tmp_path)[0]
    assert run_job(job) is not None
    stamp = job.paths.record.stat().st_mtime_ns
    assert run_job(job) is not None  # planned before there was a record: nothing runs
    assert job.paths.record.stat().st_mtime_ns == stamp
    run_job(to_replace(job))
    assert job.paths.record.stat().st_mtime_ns != stamp


def test_a_folder_that_cannot_be_written_ends_the_run_with_a_sentence(
    small: Build, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    jobs = jobs_of(small(seeds=[1, 2]), tmp_path / "file")
    for workers in (1, 2):
        with pytest.raises(StorageError, match=r"file.*Not a directory.*run the same command"):
            list(run_jobs(jobs, workers))
