"""Commands that run a matrix and look after its folder: run, status, retry, gc."""

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nsbench.benchmarks.cli.console import (
    INTERRUPTED,
    SOME_FAILED,
    UNFINISHED,
    err,
    escaped,
    out,
    say_left_out,
    settle_hub,
)
from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.records import ResultsFolder, RunRecord
from nsbench.benchmarks.records.shared import Shared
from nsbench.benchmarks.runs.executors import worker_server


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
OutDir = Annotated[
    Path | None, typer.Option("--out", "-o", help="Results folder; default out/NAME.")
]
SHOWN = 100
"""Cells that a dry run lists of a matrix with over twice as many."""
ExecutorName = Literal["local", "ray", "slurm"]


def run(
    config: Config,
    out_dir: OutDir = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run the cells whose text matches this glob.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes; 0 is one per core, or one on a GPU.")
    ] = 0,
    beside: Annotated[
        int,
        typer.Option(
            min=0,
            help="Cells that take turns in one process, for a GPU that one leaves idle; "
            "0: as many as fit and pay.",
        ),
    ] = 1,
    executor: Annotated[
        ExecutorName, typer.Option(help="Where cells run; the file's [run] table sets it up.")
    ] = "local",
    address: Annotated[
        str, typer.Option(help="Of a Ray cluster that runs already; 'auto' finds it.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and what they will cost, run none.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed")] = False,
    time_limit: Annotated[
        float, typer.Option(min=0, help="Seconds a cell may take; a slower one fails. 0: no limit.")
    ] = 0.0,
    max_hours: Annotated[
        float, typer.Option(min=0, help="Hours after which to stop, to be gone on with. 0: never.")
    ] = 0.0,
    checkpoint_every: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Minutes between checkpoints of a cell, to go on from if it is killed; 0: none. "
            "Default 10, or the file's.",
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            help="Where runs share embeddings and mined candidates; 'none': nowhere. "
            "Default $NSBENCH_CACHE, or nsbench in the user's cache folder."
        ),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Use this encoder instead of the file's.")
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Shorten every budget by this factor, for a trial.")
    ] = 1.0,
) -> None:
    """Run a benchmark matrix; what is done already is not done again."""
    if executor == "local" and not dry_run and os.environ.get("WORLD_SIZE", "1") == "1":
        worker_server.prepare(config)  # before torch: it is imported there and here at once
    from nsbench.benchmarks.contrast.distributed import launched
    from nsbench.benchmarks.device import pick_device
    from nsbench.benchmarks.matrix.config import load_config, names_hub
    from nsbench.benchmarks.matrix.expand import expand
    from nsbench.benchmarks.matrix.expand import only as keep
    from nsbench.benchmarks.records.cache import default_folder, folder_of
    from nsbench.benchmarks.runs.executors.base import Job, finished, plan_jobs, to_replace
    from nsbench.benchmarks.runs.executors.beside import check_beside
    from nsbench.benchmarks.runs.executors.team import check_team, follow
    from nsbench.benchmarks.training.replay.capture import replay_mode

    settings = load_config(config)
    if encoder is not None:
        from nsbench.samplers import parse_choice

        name, params = parse_choice(encoder)
        settings = settings.model_copy(update={"encoders": [{"name": name} | params]})
    if scale != 1:
        from nsbench.benchmarks.matrix.scale import scaled

        settings = scaled(settings, scale)
    group = launched()
    limit = time_limit or settings.run.time_limit
    check_team(group, settings.run, executor=executor, workers=workers, time_limit=limit)
    if beside != 1:
        check_beside(group, executor=executor, workers=workers, time_limit=limit)
    err.quiet = bool(group.rank)
    if names_hub(settings):
        settle_hub()
    replay_mode(pick_device(settings.run.device))
    with err.status("looking for the evaluation's data"):
        _check_evaluation(settings.evaluation)
    with err.status("reading data and checking the matrix"):
        planned = keep(expand(settings), only or [])
    say_left_out(planned[0].cell.evaluation.absent)
    folder = ResultsFolder(out_dir or Path("out") / settings.name)
    minutes = settings.run.checkpoint_minutes if checkpoint_every is None else checkpoint_every
    jobs = plan_jobs(
        planned,
        folder,
        settings.run.device,
        settings.run.threads,
        keep_weights=settings.run.keep_weights,
        snapshot_seconds=60 * minutes,
        cache=default_folder() if cache is None else folder_of(cache),
    )
    if group.rank:
        if not dry_run:
            follow(jobs, group)
        return
    count = workers or _default_workers(settings.run.device, settings.run.threads)
    if dry_run:
        _print_plan(jobs, folder, count)
        return
    _write_matrix(folder, settings, jobs)
    shared = Shared()
    before = [finished(job.paths, retry_failed=retry_failed, shared=shared) for job in jobs]
    todo = [to_replace(job) for job, record in zip(jobs, before, strict=True) if record is None]
    ended = [record.status for record in before if record is not None]
    del before, shared  # of a large matrix, they are large
    run_settings = settings.run
    if address:
        ray = run_settings.ray.model_copy(update={"address": address})
        run_settings = run_settings.model_copy(update={"ray": ray})
    starter = _executor(
        executor,
        folder,
        run_settings,
        group,
        workers=count,
        beside=beside,
        limit=limit,
        hours=max_hours,
    )
    with _resumable(folder, len(jobs)), _progress() as progress:
        bar = progress.add_task("cells", total=len(jobs), completed=len(ended))

        def started(job: Job) -> None:
            progress.update(bar, description=f"{job.planned.cell}"[:60])

        for job, record in starter.run(todo, started) if todo or group.size > 1 else ():
            progress.advance(bar)
            if record is None:
                continue
            ended.append(record.status)
            if not err.is_terminal or record.status != "done":
                _print_ended(job.planned.cell, record, len(ended), len(jobs))
    left = len(jobs) - len(ended)
    _print_summary(folder, ended, already=len(jobs) - len(todo), left=left)
    if "failed" in ended:
        raise typer.Exit(SOME_FAILED)
    if left:
        raise typer.Exit(UNFINISHED)


def _executor(
    name: ExecutorName,
    folder: ResultsFolder,
    settings: Any,
    group: Any,
    *,
    workers: int,
    beside: int,
    limit: float,
    hours: float,
) -> Any:
    if name == "slurm":
        from nsbench.benchmarks.runs.executors.slurm import SlurmPool

        return SlurmPool(folder, settings.slurm, time_limit=limit, max_hours=hours, on_note=_note)
    if name == "ray":
        from nsbench.benchmarks.runs.executors.ray import RayPool

        return RayPool(settings.ray, time_limit=limit, max_hours=hours, on_note=_note)
    if group.size > 1:
        from nsbench.benchmarks.runs.executors.team import TeamPool

        return TeamPool(group, settings.device, max_hours=hours)
    from nsbench.benchmarks.runs.executors.local import LocalPool

    pool = LocalPool(workers, time_limit=limit, max_hours=hours, on_note=_note)
    if beside == 1:
        return pool
    from nsbench.benchmarks.runs.executors.beside import BesidePool

    return BesidePool(beside, pool, max_hours=hours, on_note=_note)


def _note(text: str) -> None:
    err.print(escaped(text), soft_wrap=True)


def _progress() -> Progress:
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
    )


@contextmanager
def _resumable(folder: ResultsFolder, cells: int) -> Iterator[None]:
    """Let SIGTERM end a run like Ctrl-C does; both say what is done and how to go on."""

    def interrupt(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        done = sum(1 for paths in folder.folders() if paths.record.exists())
        err.print(
            f"interrupted: {done} of {cells} cells have ended, and their records are in "
            f"{folder.root}. Run the same command again to do the rest.",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _check_evaluation(settings: Any) -> None:
    from nsbench.benchmarks.evaluation.evaluate import check_dev, check_tasks
    from nsbench.benchmarks.evaluation.local_tasks import development_task, evaluation_tasks
    from nsbench.benchmarks.evaluation.mteb.tasks import refuse_missing, resolve

    tasks = evaluation_tasks(settings.tasks)
    dev = development_task(settings.dev, tasks)
    names = [t for t in tasks if t != "own"]
    if names:
        check_tasks(names)
    if names and settings.missing == "error":
        refuse_missing(resolve(names))
    if dev not in ("", "own"):
        check_dev(dev)


def _default_workers(device: str, threads: int) -> int:
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return 1
    return max(1, (os.cpu_count() or 1) // threads)


def _write_matrix(folder: ResultsFolder, settings: Any, jobs: list[Any]) -> None:
    try:
        folder.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.at(folder.root, error) from None
    cells = [
        {
            "key": j.planned.cell.key,
            "folder": j.paths.folder.name,
            "cell": j.planned.cell.plain() | {"labels": j.planned.cell.labels},
        }
        for j in jobs
    ]
    folder.write_matrix(settings.name, settings.model_dump(mode="json", by_alias=True), cells)


def _print_plan(jobs: list[Any], folder: ResultsFolder, workers: int) -> None:
    from nsbench.benchmarks.matrix.estimate import estimate, measured_cells
    from nsbench.benchmarks.runs.executors.base import finished

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
    for line in estimate(todo, measured_cells(folder)).words(workers):
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


def _print_summary(folder: ResultsFolder, ended: Sequence[str], *, already: int, left: int) -> None:
    count = Counter(ended)
    words = [f"{count[s]} {s}" for s in ("done", "failed", "skipped") if count[s]]
    if already:
        words.append(f"{already} of them from before")
    if left:
        words.append(f"{left} still to do (run the same command again)")
    out.print(f"{', '.join(words) or 'nothing to do'} in {folder.root}", soft_wrap=True)
    out.print(f"next: nsbench leaderboard {folder.root}", soft_wrap=True)
