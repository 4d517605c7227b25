"""A real Slurm on loopback: an array, one task requeued, one cancelled; equal to a local run."""

import importlib.util
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Build, jobs_of, until

from nsbench.benchmarks.matrix.config import ConfigError, parse_config
from nsbench.benchmarks.records import ResultsFolder, claims
from nsbench.benchmarks.runs.executors import slurm as executor_slurm
from nsbench.benchmarks.runs.executors.base import Job, to_replace
from nsbench.benchmarks.runs.executors.slurm import SlurmPool, SlurmSettings
from tools.faults import digests

NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol")
missing = [tool for tool in NEEDED if shutil.which(tool) is None]
real = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing), reason=f"Slurm is not installed: no {', '.join(missing)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the test's Slurm daemons need root"),
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="no submitit"),
]


def marked(test: Any) -> Any:
    for mark in real:
        test = mark(test)
    return test


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    script, place = str(Path(__file__).with_name("cluster.sh")), str(tmp_path / "slurm")
    started = subprocess.run(["bash", script, "start", place], check=True, capture_output=True)
    monkeypatch.setenv("SLURM_CONF", started.stdout.decode().strip())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    subprocess.run(["bash", script, "stop", place], check=True)


def when_claimed(job: Job, root: Path, *command: str) -> threading.Thread:
    """Run a command on the task that works on a job, once one does."""
    return when(lambda: claims.read_owner(job.paths.claim) is not None, job, root, *command)


def when_begun(job: Job, root: Path, *command: str) -> threading.Thread:
    """Run a command on the task that works on a job, once the cell itself has begun."""
    log = job.paths.log
    return when(lambda: log.exists() and "start: " in log.read_text(), job, root, *command)


def when(ready: Callable[[], bool], job: Job, root: Path, *command: str) -> threading.Thread:
    """Run a command on the task of a job once something is so."""

    def wait() -> None:
        until(ready)
        task = executor_slurm.submitted(ResultsFolder(root))[job.planned.cell.key]
        subprocess.run([*command, task], check=True)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@marked
def test_an_array_with_a_requeued_and_a_cancelled_task_equals_a_local_run(
    slurm: None, small: Build, run_matrix: Callable[..., Any], tmp_path: Path
) -> None:
    raw = small(samplers=["in_batch", "hard"], seeds=[1, 2])
    raw["budget"]["steps"] = 400
    local, _ = run_matrix(raw, tmp_path / "local")
    root = tmp_path / "far"
    jobs = jobs_of(raw, root)
    pool = SlurmPool(ResultsFolder(root), SlurmSettings(partition="debug", minutes=10))
    threads = [
        when_claimed(jobs[0], root, "scontrol", "requeue"),
        when_claimed(jobs[2], root, "scancel"),
    ]
    ended = {job.planned.cell.key: record for job, record in pool.run(jobs)}
    for thread in threads:
        thread.join()
    assert len(ended) == 4
    cancelled = ended[jobs[2].planned.cell.key]
    assert cancelled is not None
    assert cancelled.status == "failed"
    assert "ended (CANCELLED)" in cancelled.reason
    assert cancelled.reason.rpartition("its log is ")[2].startswith(str(root / "slurm"))
    again = list(pool.run([to_replace(jobs[2])]))
    assert [r.status for _, r in again if r] == ["done"]
    assert digests(root) == digests(local.root)
    assert not list(root.rglob("claim.json"))


@marked
@pytest.mark.parametrize("sent", ["USR2", "TERM"])
def test_signals_of_time_out_and_preemption_cost_no_cell(
    slurm: None, small: Build, run_matrix: Callable[..., Any], tmp_path: Path, sent: str
) -> None:
    """SIGUSR2 comes before the time limit, SIGTERM to what a partition preempts."""
    raw = small(seeds=[1, 2])
    raw["budget"]["steps"] = 1500
    local, _ = run_matrix(raw, tmp_path / "local")
    root = tmp_path / "far"
    jobs = jobs_of(raw, root)
    pool = SlurmPool(ResultsFolder(root), SlurmSettings(partition="debug", minutes=10, per_task=2))
    thread = when_begun(jobs[0], root, "scancel", f"--signal={sent}")
    ended = [record.status for _, record in pool.run(jobs) if record]
    thread.join()
    assert ended == ["done", "done"]
    assert jobs[0].paths.log.read_text().count("start: ") > 1  # it did hit the cell at work
    assert digests(root) == digests(local.root)
    assert not list(root.rglob("claim.json"))


@marked
def test_a_run_that_was_interrupted_waits_for_what_it_had_submitted(
    slurm: None, small: Build, tmp_path: Path
) -> None:
    jobs = jobs_of(small(seeds=[1, 2]), tmp_path / "far")
    notes: list[str] = []
    pool = SlurmPool(
        ResultsFolder(tmp_path / "far"), SlurmSettings(per_task=2), on_note=notes.append
    )
    run = pool.run(jobs)
    thread = threading.Thread(target=lambda: next(run), daemon=True)
    thread.start()
    until(lambda: executor_slurm.submitted(ResultsFolder(tmp_path / "far")))
    ended = [record.status for _, record in pool.run(jobs) if record]
    thread.join()
    assert ended == ["done", "done"]
    assert notes == ["2 cells are in Slurm's queue already; waiting for them"]
    assert len(list((tmp_path / "far" / "slurm").glob("*_submission.sh"))) == 1


@pytest.mark.parametrize("word", ["a b", "x\nrm -rf y", "$(touch z)", "`z`", "a;b", "x" * 1000])
def test_a_word_for_the_scheduler_cannot_hold_a_command(small: Build, word: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.slurm\.partition"):
        parse_config(small(run={"slurm": {"partition": word}}))


@pytest.mark.parametrize(
    ("state", "over"),
    [
        *((s, False) for s in ("PENDING", "RUNNING", "REQUEUE_HOLD", "COMPLETING")),
        *((s, True) for s in ("", "CANCELLED", "NODE_FAIL", "COMPLETED", "TIMEOUT")),
    ],
)
def test_which_states_of_a_task_are_final(state: str, over: bool) -> None:
    assert executor_slurm._is_over(state) is over
