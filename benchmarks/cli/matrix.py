"""The command ``nsbench run``."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import Field

from nsbench.benchmarks.cli.console import (
    INTERRUPTED,
    SOME_FAILED,
    UNFINISHED,
    err,
    hide_hub_bars,
    out,
)
from nsbench.benchmarks.cli.options import Argument, Option, command_from
from nsbench.benchmarks.cli.plan import print_plan
from nsbench.benchmarks.cli.watching import Screen
from nsbench.benchmarks.matrix.config import load_config, names_hub
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.cell import named
from nsbench.benchmarks.records.names import CellNames
from nsbench.benchmarks.records.shared import no_collection
from nsbench.benchmarks.runs.executors import worker_server
from nsbench.benchmarks.runs.settings import RunSettings

if TYPE_CHECKING:
    from nsbench.benchmarks.runs.matrix_run import Outcome


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

after_run: list[Callable[[Path], None]] = []
"""Called with the results folder when cells of it are done; added by packages that read results."""


class RunOptions(RunSettings):
    """The options of ``nsbench run``."""

    config: Annotated[str, Argument(complete=matrices)] = Field(
        description="A matrix file (TOML), or the name of a suite."
    )
    out_dir: Annotated[Path | None, Option(("--out", "-o"))] = Field(
        default=None, description="Results folder; default out/NAME."
    )
    dry_run: bool = Field(
        default=False, description="Print what would run and what it would cost; run nothing."
    )
    cells: bool = Field(default=False, description="With --dry-run: list every cell.")
    no_probe: bool = Field(
        default=False,
        description="With --dry-run: no short cell is timed where none has been measured.",
    )


@command_from(RunOptions)
def run(options: RunOptions) -> None:
    """Run a benchmark matrix; cells that have a record are not run again."""
    matrix = load_config(options.config)
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    if options.executor == "local" and alone and not options.dry_run:
        # Before torch: the server imports it at the same time as this process.
        every = [entry for part in matrix.products for entry in part.encoders]
        weights = any(named(entry, "encoder")[0] != "static" for entry in every)
        worker_server.prepare(
            matrix.run.threads,
            labels="own" in matrix.evaluation.tasks,
            weights=weights,
            hub=names_hub(matrix),
        )
    hide_hub_bars()
    given = {name: getattr(options, name) for name in RunSettings.model_fields if name != "config"}
    watch = Screen()
    with no_collection():  # the workers wait for this
        from nsbench.benchmarks.runs.matrix_run import plan_matrix, run_plan

        plan = plan_matrix(RunSettings(config=matrix, **given), watch)
    watch.names = CellNames([job.planned.cell for job in plan.jobs])
    if options.dry_run:
        if not plan.team.rank:
            print_plan(plan, cells=options.cells, probed=not options.no_probe)
        return
    if plan.team.rank:  # says nothing but errors
        with _interruptible(watch, lambda: None):
            run_plan(plan)
        return
    with _interruptible(watch, lambda: _say_resumable(plan.folder, len(plan.jobs))), watch.progress:
        outcome = run_plan(plan, watch)
    _print_summary(outcome)
    if "done" in outcome.statuses:
        for show in after_run:
            show(outcome.folder.root)
    out.print(f"next: nsbench leaderboard {outcome.folder.root}", soft_wrap=True)
    if "failed" in outcome.statuses:
        raise typer.Exit(SOME_FAILED)
    if outcome.left:
        raise typer.Exit(UNFINISHED)


@contextmanager
def _interruptible(watch: Screen, say: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does; after both, ``say`` is called."""

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
        say()
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_resumable(folder: ResultsFolder, cells: int) -> None:
    """Print what is done and how to continue."""
    done = sum(1 for paths in folder.folders() if paths.record.exists())
    err.print(
        f"interrupted: {done} of {cells} cells have ended, and their records are in "
        f"{folder.root}. Run the same command again to do the rest.",
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
