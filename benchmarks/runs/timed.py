"""A first estimate: a short cell of each encoder and data set, run on this machine and dropped."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nsbench.benchmarks.matrix.estimate import Measured, duration, measured_cells
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.cell import Planned
from nsbench.benchmarks.runs.executors.base import Job, Request, executor_of

STEPS = 8
LIMIT = 60.0
"""Seconds that a short cell may take."""
MOST = 4
"""Pairs of encoder and data set that are timed."""


def short_cells(jobs: Sequence[Job], request: Request) -> tuple[list[Measured], list[str]]:
    """Run one cell of each encoder and data set for a few steps, in a temporary folder.

    Args:
        jobs: Cells that are to be run.
        request: What is asked of the executor; its folder is not touched.

    Returns:
        What was measured, and a sentence about each short cell.
    """
    first: dict[tuple[str, str], Job] = {}
    for job in jobs:
        cell = job.planned.cell
        if cell.budget.steps:
            first.setdefault((cell.labels["encoder"], cell.labels["data"]), job)
    said = []
    with TemporaryDirectory() as temporary:
        folder = ResultsFolder(Path(temporary, "short"))
        folder.runs.mkdir(parents=True)
        short = [_short(job, folder) for job in list(first.values())[:MOST]]
        asked = replace(
            request, folder=folder, executor="local", workers=1, beside=1, time_limit=LIMIT
        )
        executor = executor_of("local").of(asked, None)
        for job, record in executor.run(short, lambda job: None):
            cell = job.planned.cell
            what = f"{cell.labels['encoder']} on {cell.labels['data']}"
            if record is not None and record.status == "done":
                seconds = duration(record.seconds.get("total", 0.0))
                said.append(f"timed here: {cell.budget.steps} steps of {what}, {seconds}")
            else:
                why = record.reason if record is not None else "it did not end"
                said.append(f"not timed: {what}: {why}")
        return measured_cells(folder), said


def _short(job: Job, folder: ResultsFolder) -> Job:
    """The same cell with few steps, in another folder."""
    cell = job.planned.cell
    budget = replace(cell.budget, steps=min(STEPS, cell.budget.steps))
    cell = replace(cell, budget=budget)
    paths = folder.cell(cell.sampler.name, cell.key)
    return replace(job, planned=Planned(cell), paths=paths, replaces=0, keep_weights=False)
