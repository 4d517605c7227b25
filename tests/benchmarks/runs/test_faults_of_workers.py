"""A full disk, kills while workers start, Ctrl-C in the first seconds, odd places: one sentence."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from running import HANG, Build, jobs_of, planned_of, python, until

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.runs import cell_run
from nsbench.benchmarks.runs.executors import starts as starts_module
from nsbench.benchmarks.runs.executors.base import plan_jobs, run_job
from nsbench.benchmarks.runs.executors.local import LocalPool, _Worker
from nsbench.benchmarks.runs.executors.starts import Starts

COMMAND = "from nsbench.analysis.cli import command; command()"
SAID = """
import sys
from nsbench.analysis.cli import command
def said(event, about):
    if event == "import" and about[0] == "nsbench.analysis.cli.main":
        print(">", flush=True)
sys.addaudithook(said)
command()
"""
"""The same, with a sign of life once `command` imports what it runs: Ctrl-C is answered by then."""


def nsbench(*words: str, code: str = COMMAND, **more: Any) -> subprocess.Popen[str]:
    """Start a command in its own session."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **more,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command; kill all of it if it hangs."""
    try:
        text, _ = process.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, text


@pytest.fixture
def matrix(small: Build, tmp_path: Path) -> Path:
    path = tmp_path / "m.toml"
    run = {"keep_weights": True}
    raw = small(seeds=[1, 2], encoders=[{"name": "static", "dimension": 256}], run=run)
    path.write_text(tomli_w.dumps(raw))
    return path


def test_a_disk_with_room_for_records_alone_ends_the_run_and_fails_no_cell(
    matrix: Path, tmp_path: Path
) -> None:
    def limit() -> None:  # no file beyond 60 kB, as if the disk were full
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))

    out = tmp_path / "out"
    words = ("run", str(matrix), "--out", str(out), "--workers", "2")
    code, text = ended(nsbench(*words, preexec_fn=limit))
    assert (code, text.count("\n")) == (2, 1), text
    assert "weights.safetensors: File too large. Nothing that was finished is lost" in text
    assert not list(out.rglob("record.json"))
    assert not list(out.rglob("claim.json"))
    code, text = ended(nsbench(*words))
    assert (code, "2 done in" in text) == (0, True), text


def test_a_librarys_own_full_disk_is_no_failed_cell(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "theirs"))

    (job,) = jobs_of(small(), tmp_path / "out")
    monkeypatch.setattr(cell_run, "load_data", full)
    with pytest.raises(StorageError, match=r"theirs: No space left on device"):
        run_job(job)
    assert not job.paths.record.exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SystemExit(0), "SystemExit: the cell's code called sys.exit(0)"),
        (MemoryError(), "MemoryError: memory ran out: use fewer workers"),
    ],
)
def test_a_plugin_that_exits_and_want_of_memory_are_the_cells_reason(
    small: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    words: str,
) -> None:
    def end(*_: Any) -> None:
        raise error

    (job,) = jobs_of(small(), tmp_path / "out")
    monkeypatch.setattr(cell_run, "load_data", end)
    record = run_job(job)
    assert record is not None
    assert record.status == "failed"
    assert record.reason.startswith(words)


def test_kills_while_workers_start_do_not_count_as_a_broken_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    starts = Starts()
    for code in (255, -signal.SIGKILL, -signal.SIGTERM) * 100:
        starts.failed(code)
        starts.check()
    monkeypatch.setattr(starts_module, "START_SECONDS", -1.0)
    with pytest.raises(RuntimeError, match="300 workers in a row died"):
        starts.check()
    starts.came_up()
    for code in (1,) * 19:
        starts.failed(code)
        starts.check()
    starts.failed(-signal.SIGSEGV)
    with pytest.raises(RuntimeError, match="20 workers in a row died"):
        starts.check()


@pytest.mark.slow
def test_a_server_that_is_killed_again_and_again_costs_no_cell(
    small: Build, tmp_path: Path
) -> None:
    raw = small(seeds=[1, 2, 3, 4])
    jobs = jobs_of(raw, tmp_path / "out")
    stop = threading.Event()

    def kill() -> None:
        for _ in range(60):
            if stop.wait(0.2):
                return
            if pid := forkserver._forkserver._forkserver_pid:  # type: ignore[attr-defined]
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        records = [record for _, record in LocalPool(4).run(jobs)]
    finally:
        stop.set()
        thread.join()
    assert [r.status for r in records if r] == ["done"] * 4


def lives(group: int) -> bool:
    """Return whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def interrupted(seconds: float, *words: str) -> None:
    """Start a command, press Ctrl-C, and expect one sentence, exit code 130 and no process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = nsbench(*words, code=SAID)
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout is not None
    assert process.stdout.readline() == ">\n"
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    code, text = ended(process)
    assert code == 130, text
    assert "Traceback" not in text
    assert text.count("interrupted") == 1
    until(lambda: not lives(process.pid))  # they see that their parent has ended


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15])
def test_ctrl_c_while_the_command_is_imported_is_one_sentence(seconds: float) -> None:
    interrupted(seconds, "run", "smoke", "--dry-run")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0])
def test_ctrl_c_in_the_first_seconds_is_one_sentence(
    matrix: Path, tmp_path: Path, seconds: float
) -> None:
    raw = _raw(matrix)
    raw["budget"]["steps"] = 1_000_000  # it never ends before
    matrix.write_text(tomli_w.dumps(raw))
    interrupted(seconds, "run", str(matrix), "--out", str(tmp_path / "out"))


def test_a_worker_ends_with_its_parent(small: Build, tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from nsbench.benchmarks.runs.executors.local import _Worker\n"
        "if __name__ == '__main__':\n"
        "    w = _Worker(1)\n"
        "    print(w.pipe.recv() and w.process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "parent.py").write_text(code)
    done = python(str(tmp_path / "parent.py"))
    until(lambda: not Path(f"/proc/{int(done.stdout)}").exists())


def test_a_long_path_of_temporary_files_is_no_obstacle(matrix: Path, tmp_path: Path) -> None:
    place = tmp_path / ("x" * 100) / ("y" * 30)
    place.mkdir(parents=True)
    words = ("run", str(matrix), "--out", str(tmp_path / "out"), "--workers", "1")
    code, text = ended(nsbench(*words, env={**os.environ, "TMPDIR": str(place)}))
    assert code == 0, text


def test_what_is_in_the_way_of_a_cell_is_named_and_the_others_run(
    matrix: Path, tmp_path: Path
) -> None:
    out = ResultsFolder(tmp_path / "out")
    jobs = plan_jobs(planned_of(_raw(matrix)), out, "cpu", 1)
    jobs[0].paths.folder.mkdir(parents=True)
    os.mkfifo(jobs[0].paths.claim)
    words = ("run", str(matrix), "--out", str(out.root), "--workers", "1")
    code, text = ended(nsbench(*words))
    assert code == 3, text
    assert f"{jobs[0].paths.claim} is a FIFO, not a file: its cell is passed by" in text
    assert "1 done, 1 still to do" in text


def _raw(path: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(path.read_text())


@pytest.mark.parametrize("place", [">&-", "> /dev/full", "| true"])
def test_an_output_that_takes_nothing_is_one_sentence_and_exit_code_2(place: str) -> None:
    line = (
        f'"{sys.executable}" -c "{COMMAND}" list samplers --json {place}; exit ${{PIPESTATUS[0]}}'
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "error: " in done.stderr


def test_a_worker_is_not_disturbed_by_ctrl_c() -> None:
    worker = _Worker(1)
    try:
        assert worker.pipe.recv()
        state = Path(f"/proc/{worker.process.pid}/status").read_text()
        ignored = int(state.partition("SigIgn:")[2].split()[0], 16)
        assert ignored >> (signal.SIGINT - 1) & 1
    finally:
        worker.process.kill()
        worker.end()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
