"""Run planned cells in tests, and wait for what other threads and processes do."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from nsbench.benchmarks.runs.executors.base import Ended, Job, run_job
from nsbench.benchmarks.runs.executors.local import LocalPool

T = TypeVar("T")
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


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[Ended]:
    """Run jobs and yield each as it ends; with one worker in this process."""
    if workers > 1 and len(jobs) > 1:
        yield from LocalPool(workers).run(jobs)
        return
    for job in jobs:
        yield job, run_job(job)
