"""Run planned cells in tests, and wait for what other threads and processes do."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from click.testing import Result
from typer.testing import CliRunner

from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.cell import Planned
from nsbench.benchmarks.runs.executors.base import Ended, Job, plan_jobs, run_job
from nsbench.benchmarks.runs.executors.local import LocalPool

T = TypeVar("T")
Build = Callable[..., dict[str, Any]]
"""Type of the fixture `small`."""
Run = Callable[..., Any]
"""Type of the fixture `run_matrix`."""
COMMAND = "from nsbench.analysis.cli.main import main; main()"
HANG = 600.0
"""Seconds that only a hang reaches, on any machine."""


def until(ready: Callable[[], T], alive: Callable[[], bool] = lambda: True) -> T:
    """Wait until something is true, and return it; fail when ``alive`` no longer is."""
    end = time.monotonic() + HANG
    while not (found := ready()):
        assert alive(), "it ended before"
        assert time.monotonic() < end, "it hangs"
        time.sleep(0.02)
    return found


def python(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run another Python with some words; ``how`` as for `subprocess.run`."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, **{"check": False, **how})


def nsbench(*words: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in another process; ``how`` as for `subprocess.run`."""
    return python("-c", COMMAND, *words, **how)


def invoked(*words: object, ends: int = 0, app: Any = None, **how: Any) -> Result:
    """Run a command in this process and expect its exit code; ``how`` as for `CliRunner.invoke`.

    ``app`` is the command line without the analysis, unless it is given.
    """
    if app is None:
        from nsbench.benchmarks.cli.main import app
    done = CliRunner().invoke(app, [*map(str, words)], **how)
    assert done.exit_code == ends, (done.output, done.exception)
    return done


def small_matrix(**changes: Any) -> dict[str, Any]:
    """Return a matrix as plain data that runs in about a second a cell, with changes on top."""
    return {
        "schema": 1,
        "name": "small",
        "samplers": ["in_batch"],
        "augmentations": ["none"],
        "encoders": [{"name": "static", "dimension": 16}],
        "data": [{"name": "planted", "rows": 200}],
        "seeds": [1],
        "no_training": False,
        "budget": {"steps": 6, "batch_size": 16, "learning_rate": 0.05},
        "difficulty": {"every": 3},
    } | changes


def planned_of(raw: dict[str, Any], source: str = "matrix") -> list[Planned]:
    """Return the cells of a matrix given as plain data, and as if it were read from a file."""
    return expand(parse_config(raw, source))


def jobs_of(raw: dict[str, Any], root: Path, **more: Any) -> list[Job]:
    """Return a job on the CPU, with one thread, for each of its cells."""
    return plan_jobs(planned_of(raw), ResultsFolder(root), "cpu", 1, **more)


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[Ended]:
    """Run jobs and yield each as it ends; with one worker in this process."""
    if workers > 1 and len(jobs) > 1:
        yield from LocalPool(workers).run(jobs)
        return
    for job in jobs:
        yield job, run_job(job)
