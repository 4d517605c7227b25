"""A first estimate: short cells of each encoder and data set, run on this machine and dropped."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nsbench.benchmarks.matrix.estimate import Measured, duration, measured_cells
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.cell import Planned
from nsbench.benchmarks.records.names import CellNames
from nsbench.benchmarks.runs.executors.base import Job, Request, executor_of

FIRST = 8
"""Steps of the first cell, which loads data and libraries."""
STEPS = 40
"""Steps of the second one, in the same process, from which costs are estimated."""
SLOW = 10.0
"""Seconds of a first cell that is not followed by another one."""
LIMIT = 60.0
"""Seconds that a short cell may take."""
MOST = 4
"""Pairs of encoder and data set that are timed."""


def short_cells(jobs: Sequence[Job], request: Request) -> tuple[list[Measured], list[str]]:
    """Run short cells of each encoder and data set, one process each, in a temporary folder.

    Returns:
        What was measured, and a sentence about each pair.
    """
    names = CellNames([job.planned.cell for job in jobs])
    pairs: dict[str, Job] = {}
    for job in jobs:
        cell = job.planned.cell
        if cell.budget.steps:
            what = " on ".join(names.of_axis(cell, axis) for axis in ("encoder", "data"))
            pairs.setdefault(what, job)
    found, said = [], []
    with TemporaryDirectory() as temporary:
        for number, (what, job) in enumerate(list(pairs.items())[:MOST]):
            measured, sentence = _timed(job, what, request, Path(temporary, str(number)))
            found += measured
            said.append(sentence)
    return found, said


def _timed(job: Job, what: str, request: Request, root: Path) -> tuple[list[Measured], str]:
    """Run a cell for a few steps, then for more if that did not take long."""
    folders = ResultsFolder(root / "first"), ResultsFolder(root / "second")
    for folder in folders:
        folder.runs.mkdir(parents=True)
    asked = replace(
        request, folder=folders[0], executor="local", workers=1, beside=1, time_limit=LIMIT
    )
    short = [_short(job, *of) for of in zip((FIRST, STEPS), folders, strict=True)]
    measured: list[Measured] = []
    sentence = "not timed"
    for (ended, record), folder in zip(
        executor_of("local").of(asked, None).run(short, lambda job: None), folders, strict=False
    ):
        if record is None or record.status != "done":
            why = record.reason if record is not None else "it did not end"
            return measured, sentence if measured else f"not timed: {what}: {why}"
        seconds = record.seconds.get("total", 0.0)
        measured = measured_cells(folder)
        steps = ended.planned.cell.budget.steps
        sentence = f"timed here: {steps} steps of {what}, {duration(seconds)}"
        if seconds > SLOW:
            break
    return measured, sentence


def _short(job: Job, steps: int, folder: ResultsFolder) -> Job:
    """The same cell with few steps, in another folder."""
    cell = job.planned.cell
    cell = replace(cell, budget=replace(cell.budget, steps=min(steps, cell.budget.steps)))
    paths = folder.cell(cell.sampler.name, cell.key)
    return replace(job, planned=Planned(cell), paths=paths, replaces=0, keep_weights=False)
