"""Run planned cells in tests."""

from collections.abc import Iterator, Sequence

from nsbench.benchmarks.runs.executors.base import Ended, Job, run_job
from nsbench.benchmarks.runs.executors.local import LocalPool


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[Ended]:
    """Run jobs and yield each as it ends; with one worker in this process."""
    if workers > 1 and len(jobs) > 1:
        yield from LocalPool(workers).run(jobs)
        return
    for job in jobs:
        yield job, run_job(job)
