"""Whole ``nsbench run`` processes: two on one folder at once, and Ctrl-C as a terminal sends it."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from running import HANG, until

from nsbench.benchmarks.records import ResultsFolder
from tools import faults


def matrix_file(folder: Path, *, cells: int, steps: int) -> Path:
    path = folder / "matrix.toml"
    path.write_text(tomli_w.dumps(faults.matrix(cells, steps)))
    return path


def starts(folder: ResultsFolder) -> list[int]:
    """How often each cell was begun."""
    return [p.log.read_text("utf-8").count("start: ") for p in folder.folders()]


def stamps(folder: ResultsFolder) -> dict[str, int]:
    """When each record was written."""
    ended = (p for p in folder.folders() if p.record.exists())
    return {p.folder.name: p.record.stat().st_mtime_ns for p in ended}


def wait_until(seen: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until(seen, lambda: process.poll() is None)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_two_runs_on_one_folder_share_its_cells(tmp_path: Path) -> None:
    config = matrix_file(tmp_path, cells=20, steps=10)
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert faults.start(faults.command(config, alone, 1), tmp_path / "alone.log").wait(HANG) == 0
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    runs = [faults.start(faults.command(config, shared, 2), log) for log in logs]
    try:
        assert [run.wait(HANG) for run in runs] == [0, 0]
    finally:
        for run in runs:
            stop(run)
    report = faults.Report(cells=20)
    faults.check(report, alone, shared)
    assert report.faults == []
    assert starts(ResultsFolder(shared)) == [1] * 20
    for log in logs:
        assert "20 done" in log.read_text()
        assert "20 of them from before" not in log.read_text()  # they did run at once


@pytest.mark.slow
def test_ctrl_c_ends_a_run_that_can_be_gone_on_with(tmp_path: Path) -> None:
    config = matrix_file(tmp_path, cells=10, steps=400)
    out, log = ResultsFolder(tmp_path / "out"), tmp_path / "log"
    command = faults.command(config, out.root, 2)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:  # a shell's background job passes on that Ctrl-C is not for it, and nor for the run then
        run = faults.start(command, log)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        wait_until(lambda: any(p.record.exists() for p in out.folders()), run)
        wait_until(lambda: bool(list(out.runs.glob("*/claim.json"))), run)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to every process of the run
        assert run.wait(HANG) == 130
    finally:
        stop(run)
    done = sum(p.record.exists() for p in out.folders())
    text = log.read_text()
    assert 0 < done < 10
    assert f"interrupted: {done} of 10 cells have ended" in text
    assert "Run the same command again" in text
    assert "Traceback" not in text
    assert not list(out.runs.glob("*/claim.json"))  # nobody has to wait for a stale one
    ended = stamps(out)
    assert faults.start(command, log).wait(HANG) == 0
    after = stamps(out)
    assert len(after) == 10
    assert ended.items() <= after.items()  # what had ended was left alone
    assert f"10 done, {done} of them from before" in log.read_text()
