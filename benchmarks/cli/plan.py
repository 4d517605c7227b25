"""Output of ``nsbench run --dry-run``: a summary of the cells, and an estimate of their cost."""

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table

from nsbench.benchmarks.cli.console import err, escaped, out
from nsbench.benchmarks.matrix.estimate import alike, estimate, measured_cells
from nsbench.benchmarks.records.names import AXES, CellNames
from nsbench.benchmarks.records.shared import Shared
from nsbench.benchmarks.runs.executors.base import Job, finished
from nsbench.benchmarks.runs.executors.local import worker_count

if TYPE_CHECKING:
    from nsbench.benchmarks.runs.matrix_run import Plan

NAMED = 6
"""Values of an axis that the summary names."""


def print_plan(plan: "Plan", *, cells: bool, probed: bool) -> None:
    """Print what a run would do; ``probed``: after a short cell of all that was never measured."""
    shared = Shared()
    states: list[str] = []
    todo: list[Job] = []
    for job in plan.jobs:
        record = finished(job.paths, shared=shared)
        states.append(record.status if record else "skip" if job.planned.skip else "to run")
        if states[-1] == "to run":
            todo.append(job)
    if cells:
        _print_cells(plan.jobs, states)
    _print_axes(plan.jobs)
    reasons = Counter(j.planned.skip for j in plan.jobs if j.planned.skip)
    for reason, number in reasons.most_common(NAMED):
        out.print(escaped(f"skipped: {number} cells, {reason}"), soft_wrap=True)
    budgets = [j.planned.cell.budget for j in todo]
    steps = sum(b.steps for b in budgets)
    passes = sum(2 * b.steps * b.batch_size for b in budgets)
    out.print(
        f"{len(plan.jobs)} cells, {sum(reasons.values())} of them skipped, "
        f"{len(todo)} to run: {steps} steps, {passes} encoder passes at least"
    )
    known = measured_cells(plan.folder)
    wanted = [job.planned.cell for job in todo]
    if todo and probed and not estimate(wanted, known).measured:
        from nsbench.benchmarks.runs.timed import short_cells

        with err.status("timing a short cell"):
            known, said = short_cells(todo, plan.request)
        for line in said:
            out.print(escaped(line), soft_wrap=True)
    for line in estimate(wanted, known).words(worker_count(plan.request)):
        out.print(line, soft_wrap=True)


def _print_cells(jobs: list[Job], states: list[str]) -> None:
    axes = ("sampler", "augmentation", "objective", "encoder", "data")
    names = CellNames([job.planned.cell for job in jobs])
    table = Table("key", *axes, "seed", "state")
    for job, state in zip(jobs, states, strict=True):
        cell = job.planned.cell
        shown = (escaped(names.of_axis(cell, axis)) for axis in axes)
        table.add_row(cell.key, *shown, str(cell.seed), state)
    out.print(table)


def _print_axes(jobs: list[Job]) -> None:
    """Print each axis of the matrix with its values, shortened."""
    values: dict[str, dict[str, None]] = {axis: {} for axis in (*AXES, "seed")}
    cells = [job.planned.cell for job in jobs]
    names = CellNames(cells)
    for cell, _ in alike(cells):
        for axis in AXES:
            values[axis].setdefault(names.of_axis(cell, axis))
    values["seed"] = dict.fromkeys(str(cell.seed) for cell in cells)
    for axis, found in values.items():
        said = [name for name in found if name]
        if said:
            more = f" and {len(said) - NAMED} more" if len(said) > NAMED else ""
            shown = ", ".join(said[:NAMED])
            out.print(escaped(f"{axis + ':':13} {len(said):>4}  {shown}{more}"), soft_wrap=True)
