"""The command ``nsbench run``."""

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import Field
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nsbench.benchmarks.cli.console import (
    INTERRUPTED,
    SOME_FAILED,
    UNFINISHED,
    err,
    escaped,
    hide_hub_bars,
    out,
    say_left_out,
)
from nsbench.benchmarks.cli.options import Argument, Option, command_from
from nsbench.benchmarks.matrix.config import load_config
from nsbench.benchmarks.matrix.estimate import estimate, measured_cells
from nsbench.benchmarks.records import ResultsFolder, RunRecord
from nsbench.benchmarks.records.shared import Shared
from nsbench.benchmarks.runs.executors import worker_server
from nsbench.benchmarks.runs.executors.base import Job, finished
from nsbench.benchmarks.runs.executors.local import worker_count
from nsbench.benchmarks.runs.settings import RunSettings
from nsbench.benchmarks.runs.watch import Watch

if TYPE_CHECKING:
    from nsbench.benchmarks.runs.matrix_run import Outcome, Plan


def matrices(incomplete: str) -> list[str]:
    """Suites and TOML files that open with some letters, for completion in a shell."""
    shipped = (item.name for item in resources.files("nsbench.benchmarks.matrix.configs").iterdir())
    names = [name.removesuffix(".toml") for name in shipped if name.endswith(".toml")]
    try:
        folder = Path(incomplete if incomplete.endswith("/") else Path(incomplete).parent)
        names += [str(path) for path in folder.glob("*.toml")]
    except OSError:
        pass
    return sorted(name for name in names if name.startswith(incomplete))


Config = Annotated[
    str,
    typer.Argument(help="A matrix file (TOML), or the name of a suite.", autocompletion=matrices),
]
SHOWN = 100
"""Cells that a dry run lists of a matrix with over twice as many."""


class RunOptions(RunSettings):
    """The options of ``nsbench run``."""

    config: Annotated[str, Argument(complete=matrices)] = Field(
        description="A matrix file (TOML), or the name of a suite."
    )
    out_dir: Annotated[Path | None, Option(("--out", "-o"))] = Field(
        default=None, description="Results folder; default out/NAME."
    )
    dry_run: bool = Field(
        default=False, description="Print the cells and an estimate of their cost; run none."
    )


@command_from(RunOptions)
def run(options: RunOptions) -> None:
    """Run a benchmark matrix; cells that have a record are not run again."""
    matrix = load_config(options.config)
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    if options.executor == "local" and alone and not options.dry_run:
        # Before torch: the server imports it at the same time as this process.
        worker_server.prepare(matrix.run.threads, labels="own" in matrix.evaluation.tasks)
    from nsbench.benchmarks.runs.matrix_run import plan_matrix, run_plan

    hide_hub_bars()
    given = options.model_dump(exclude={"config", "dry_run"})
    watch = Screen()
    plan = plan_matrix(RunSettings(config=matrix, **given), watch)
    err.quiet = bool(plan.team.rank)
    if options.dry_run:
        if not plan.team.rank:
            _print_plan(plan)
        return
    with _resumable(plan.folder, len(plan.jobs), watch), watch.progress:
        outcome = run_plan(plan, watch)
    if plan.team.rank:
        return
    _print_summary(outcome)
    if "failed" in outcome.statuses:
        raise typer.Exit(SOME_FAILED)
    if outcome.left:
        raise typer.Exit(UNFINISHED)


class Screen(Watch):
    """Shows on standard error how a run goes.

    Attributes:
        progress: A bar over the cells, to be entered while they run.
        stopping: True after Ctrl-C, which a library may have swallowed.
    """

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            disable=not err.is_terminal,
        )
        self._bar = self.progress.add_task("cells", start=False, visible=False)
        self._total = 0
        self.stopping = False

    def stage(self, text: str) -> AbstractContextManager[Any]:
        """Show a spinner."""
        return err.status(text)

    def note(self, text: str) -> None:
        """Print a sentence."""
        err.print(escaped(text), soft_wrap=True)

    def absent(self, tasks: Sequence[str]) -> None:
        """Print the evaluation tasks that are left out."""
        say_left_out(tasks)

    def begins(self, ended: int, total: int) -> None:
        """Show the bar."""
        self._total = total
        self.progress.reset(self._bar, total=total, completed=ended, visible=True)

    def started(self, job: Job) -> None:
        """Show the cell next to the bar."""
        self._heed()
        self.progress.update(self._bar, description=f"{job.planned.cell}"[:60])

    def ended(self, job: Job, record: RunRecord | None, number: int) -> None:
        """Print the cell, without a terminal or unless it is done."""
        self.progress.advance(self._bar)
        if record is not None and not (err.is_terminal and record.status == "done"):
            _print_ended(job.planned.cell, record, number, self._total)
        self._heed()

    def _heed(self) -> None:
        if self.stopping:
            raise KeyboardInterrupt


@contextmanager
def _resumable(folder: ResultsFolder, cells: int, watch: Screen) -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does; both print what is done and how to continue."""

    def interrupt(number: int, frame: Any) -> NoReturn:
        watch.stopping = True
        raise KeyboardInterrupt

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt)}
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        for number, handler in before.items():  # a second one ends at once
            signal.signal(number, handler)
        done = sum(1 for paths in folder.folders() if paths.record.exists())
        err.print(
            f"interrupted: {done} of {cells} cells have ended, and their records are in "
            f"{folder.root}. Run the same command again to do the rest.",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_plan(plan: "Plan") -> None:
    jobs = plan.jobs
    table = Table("key", "sampler", "augmentation", "objective", "encoder", "data", "seed", "state")
    todo = []
    shared = Shared()
    for number, job in enumerate(jobs):
        cell = job.planned.cell
        record = finished(job.paths, shared=shared)
        if not record and not job.planned.skip:
            todo.append(cell)
        if len(jobs) <= 2 * SHOWN or number < SHOWN:
            labels = cell.labels
            state = record.status if record else ("skip" if job.planned.skip else "to run")
            names = ("sampler", "augmentation", "objective", "encoder", "data")
            table.add_row(cell.key, *(escaped(labels[n]) for n in names), str(cell.seed), state)
    if len(jobs) > table.row_count:
        table.caption = f"and {len(jobs) - table.row_count:,} more; --only GLOB narrows them down"
    out.print(table)
    steps = sum(c.budget.steps for c in todo)
    passes = sum(2 * c.budget.steps * c.budget.batch_size for c in todo)
    out.print(
        f"{len(jobs)} cells, {sum(bool(j.planned.skip) for j in jobs)} of them skipped, "
        f"{len(todo)} to run: {steps} steps, {passes} encoder passes at least"
    )
    for line in estimate(todo, measured_cells(plan.folder)).words(worker_count(plan.request)):
        out.print(line, soft_wrap=True)


def _print_ended(cell: Any, record: RunRecord, number: int, total: int) -> None:
    colour = {"done": "green", "failed": "red", "skipped": "yellow"}[record.status]
    seconds = record.seconds.get("total", 0.0)
    reason = f": {escaped(record.reason)}" if record.reason else ""
    alarms = f" [yellow]({', '.join(a['name'] for a in record.alarms)})[/]" if record.alarms else ""
    err.print(
        f"[{number}/{total}] [{colour}]{record.status}[/] {escaped(str(cell))} "
        f"{seconds:.1f} s{alarms}{reason}",
        soft_wrap=True,
    )


def _print_summary(outcome: "Outcome") -> None:
    count, root = Counter(outcome.statuses), outcome.folder.root
    words = [f"{count[s]} {s}" for s in ("done", "failed", "skipped") if count[s]]
    if outcome.before:
        words.append(f"{outcome.before} of them from before")
    if outcome.left:
        words.append(f"{outcome.left} still to do (run the same command again)")
    out.print(f"{', '.join(words) or 'nothing to do'} in {root}", soft_wrap=True)
    out.print(f"next: nsbench leaderboard {root}", soft_wrap=True)
