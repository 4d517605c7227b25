"""The command line: run, status, list, describe, doctor. `nsbench.analysis.cli` adds the rest."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nsbench.benchmarks.records import (
    RecordError,
    ResultsFolder,
    RunRecord,
    write_atomically,
)

OK, SOME_FAILED, USAGE = 0, 1, 2
KINDS = (
    "samplers",
    "augmentations",
    "objectives",
    "candidates",
    "regimes",
    "encoders",
    "datasets",
    "suites",
)

app = typer.Typer(
    name="nsbench",
    help="Benchmark negative samplers and augmentations for text embeddings.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

extra_kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {}
"""Further things that `list` can show, added by the packages that know them."""


def run_app(application: typer.Typer = app) -> None:
    """Run the command line; a wrong value is one sentence and exit code 2, not a traceback."""
    try:
        application()
    except (ValueError, FileNotFoundError, RecordError, ModuleNotFoundError) as error:
        err.print(f"[bold red]error:[/] {escaped(str(error))}", soft_wrap=True)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on where it stopped")
        sys.exit(130)


def escaped(text: str) -> str:
    """Text that rich prints as it stands."""
    from rich.markup import escape

    return escape(text)


Config = Annotated[str, typer.Argument(help="A matrix file (TOML), or the name of a suite.")]


@app.command()
def run(
    config: Config,
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Results folder; default out/NAME.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Run the cells whose text matches this glob.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes; 0 is one per core, or one on a GPU.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells, run none.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed")] = False,
    encoder: Annotated[
        str | None, typer.Option(help="Use this encoder instead of the file's.")
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Shorten every budget by this factor, for a trial.")
    ] = 1.0,
) -> None:
    """Run a benchmark matrix; what is done already is not done again."""
    from nsbench.benchmarks.config import load_config
    from nsbench.benchmarks.executors import Job, finished, plan_jobs, run_jobs
    from nsbench.benchmarks.matrix import expand
    from nsbench.benchmarks.matrix import only as keep

    settings = load_config(config)
    if encoder is not None:
        from nsbench.samplers import parse_choice

        name, params = parse_choice(encoder)
        settings = settings.model_copy(update={"encoders": [{"name": name} | params]})
    if scale != 1:
        from nsbench.benchmarks.scale import scaled

        settings = scaled(settings, scale)
    _check_evaluation(settings.evaluation.tasks, settings.evaluation.dev)
    with err.status("reading data and checking the matrix"):
        planned = keep(expand(settings), only or [])
    folder = ResultsFolder(out_dir or Path("out") / settings.name)
    jobs = plan_jobs(planned, folder, settings.run.device, settings.run.threads)
    if dry_run:
        _print_plan(jobs)
        return
    _write_matrix(folder, settings, jobs)
    before = {job.planned.cell.key: finished(job.paths, retry_failed=retry_failed) for job in jobs}
    todo = [job for job in jobs if before[job.planned.cell.key] is None]
    for job in todo:
        job.paths.record.unlink(missing_ok=True)
    ended: list[RunRecord] = [r for r in before.values() if r is not None]
    count = workers or _default_workers(settings.run.device, settings.run.threads)
    elsewhere = 0
    with Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
    ) as progress:
        bar = progress.add_task("cells", total=len(jobs), completed=len(ended))

        def started(job: Job) -> None:
            progress.update(bar, description=f"{job.planned.cell}"[:60])

        for job, record in run_jobs(todo, count, started):
            progress.advance(bar)
            if record is None:
                elsewhere += 1
                continue
            ended.append(record)
            if not err.is_terminal or record.status != "done":
                _print_ended(job.planned.cell, record, len(ended), len(jobs))
    _print_summary(folder, ended, already=len(jobs) - len(todo), elsewhere=elsewhere)
    if any(r.status == "failed" for r in ended):
        raise typer.Exit(SOME_FAILED)


def _check_evaluation(tasks: tuple[str, ...], dev: str) -> None:
    from nsbench.benchmarks.evaluate import check_available, check_dev, check_tasks

    names = [t for t in tasks if t != "own"]
    if names:
        check_tasks(names)
        missing = check_available(names)
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise ValueError(f"{missing[0]}{more}")
    if dev not in ("", "own"):
        check_dev(dev)


def _default_workers(device: str, threads: int) -> int:
    import os

    import torch

    if device != "cpu" and torch.cuda.is_available():
        return 1
    return max(1, (os.cpu_count() or 1) // threads)


def _write_matrix(folder: ResultsFolder, settings: Any, jobs: list[Any]) -> None:
    folder.root.mkdir(parents=True, exist_ok=True)
    plan = {
        "schema": 1,
        "name": settings.name,
        "config": settings.model_dump(mode="json", by_alias=True),
        "cells": [
            {
                "key": j.planned.cell.key,
                "folder": j.paths.folder.name,
                "cell": j.planned.cell.plain() | {"labels": j.planned.cell.labels},
            }
            for j in jobs
        ],
    }
    text = json.dumps(plan, indent=1, sort_keys=True, ensure_ascii=False)
    write_atomically(folder.matrix, text + "\n")


def _print_plan(jobs: list[Any]) -> None:
    from nsbench.benchmarks.executors import finished

    table = Table("key", "sampler", "augmentation", "objective", "encoder", "data", "seed", "state")
    for job in jobs:
        cell, labels = job.planned.cell, job.planned.cell.labels
        record = finished(job.paths)
        state = record.status if record else ("skip" if job.planned.skip else "to run")
        names = ("sampler", "augmentation", "objective", "encoder", "data")
        table.add_row(cell.key, *(escaped(labels[n]) for n in names), str(cell.seed), state)
    out.print(table)
    steps = sum(j.planned.cell.budget.steps for j in jobs if not j.planned.skip)
    passes = sum(
        2 * j.planned.cell.budget.steps * j.planned.cell.budget.batch_size
        for j in jobs
        if not j.planned.skip
    )
    out.print(
        f"{len(jobs)} cells, {sum(bool(j.planned.skip) for j in jobs)} of them skipped; "
        f"{steps} steps, {passes} encoder passes at least"
    )


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


def _print_summary(
    folder: ResultsFolder, ended: list[RunRecord], *, already: int, elsewhere: int
) -> None:
    count = Counter(r.status for r in ended)
    words = [f"{count[s]} {s}" for s in ("done", "failed", "skipped") if count[s]]
    if already:
        words.append(f"{already} of them from before")
    if elsewhere:
        words.append(f"{elsewhere} at work in another process")
    out.print(f"{', '.join(words) or 'nothing to do'} in {folder.root}", soft_wrap=True)
    out.print(f"next: nsbench leaderboard {folder.root}", soft_wrap=True)


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="Results folder.")],
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what is done, failed, skipped, running and still to do, and every alarm."""
    from nsbench.benchmarks.status import read_status

    state = read_status(ResultsFolder(folder))
    if as_json:
        out.print_json(json.dumps(state))
        return
    table = Table("state", "cells")
    for name, number in state["counts"].items():
        table.add_row(name, str(number))
    out.print(table)
    for title, rows, columns in (
        ("failed", state["failed"], ("cell", "reason")),
        ("skipped", state["skipped"], ("cell", "reason")),
        ("alarms", state["alarms"], ("alarm", "cells", "example")),
    ):
        if rows:
            shown = Table(*columns, title=title, title_justify="left")
            for row in rows[:40]:
                shown.add_row(*(escaped(str(row[c])) for c in columns))
            out.print(shown)
            if len(rows) > 40:
                out.print(f"... and {len(rows) - 40} more; --json shows all")
    for line in state["unreadable"]:
        err.print(f"[yellow]left out:[/] {escaped(line)}", soft_wrap=True)


def _registry(kind: str) -> Any:
    if kind == "samplers":
        from nsbench.samplers import samplers as registry

        return registry
    import importlib

    module = {"datasets": "data"}.get(kind, kind)
    return getattr(importlib.import_module(f"nsbench.benchmarks.{module}"), kind)


def _rows(kind: str) -> list[dict[str, Any]]:
    if kind in extra_kinds:
        return extra_kinds[kind]()
    if kind == "suites":
        from nsbench.benchmarks.config import suites

        return [{"name": n, "summary": d} for n, d in suites().items()]
    rows = []
    for entry in _registry(kind):
        row = {
            "name": entry.name,
            "summary": entry.summary,
            "source": entry.source,
            "provider": entry.provider,
            "parameters": [
                {
                    "name": p.name,
                    "type": p.type,
                    "default": p.default,
                    "required": p.required,
                    "description": p.description,
                }
                for p in entry.parameters
            ],
        }
        if kind == "samplers":
            row |= _pairing(entry)
        rows.append(row)
    return rows


def _pairing(entry: Any) -> dict[str, Any]:
    required = [p for p in entry.parameters if p.required]
    instance = None if required else entry.cls()

    def name(attribute: str, default: str) -> str:
        value = getattr(instance or entry.cls, attribute, default)
        return str(value if isinstance(value, str) else value[0])

    return {
        "objective": name("objective", "info_nce"),
        "pool": name("pool", "in_batch"),
        "needs": sorted(getattr(instance or entry.cls, "needs", ())),
    }


@app.command(name="list")
def list_(
    kind: Annotated[str, typer.Argument(help="What to list; default everything.")] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """List samplers, augmentations, objectives, pools, encoders, data sets, suites, figures."""
    from nsbench.samplers import one_of

    kinds = (*KINDS, *extra_kinds)
    if kind:
        one_of("list", "kind", kind, kinds)
    rows = {k: _rows(k) for k in ([kind] if kind else kinds)}
    if as_json:
        out.print_json(json.dumps(rows[kind] if kind else rows, default=str))
        return
    for title, entries in rows.items():
        table = Table("name", "idea", "parameters", title=title, title_justify="left")
        for row in entries:
            shown = ", ".join(
                p["name"] if p["required"] else f"{p['name']}={p['default']}"
                for p in row.get("parameters", [])
            )
            table.add_row(row["name"], escaped(row["summary"]), escaped(shown))
        out.print(table)


@app.command()
def describe(name: Annotated[str, typer.Argument(help="Name of any component or suite.")]) -> None:
    """Say all that is known of a component: idea, source, parameters with ranges."""
    from nsbench.samplers import UnknownNameError, suggest

    found, known = False, set()
    for kind in (*KINDS, *extra_kinds):
        for row in _rows(kind):
            known.add(row["name"])
            if row["name"] != name:
                continue
            found = True
            out.print(f"[bold]{escaped(name)}[/] ({kind})  {escaped(row['summary'])}")
            for key in ("source", "provider", "objective", "pool"):
                if row.get(key):
                    out.print(f"  {key}: {escaped(str(row[key]))}", soft_wrap=True)
            for p in row.get("parameters", []):
                default = "required" if p["required"] else f"default {p['default']!r}"
                out.print(
                    f"  {p['name']} ({escaped(str(p['type']))}, {escaped(default)}): "
                    f"{escaped(p['description'])}",
                    soft_wrap=True,
                )
    if not found:
        raise UnknownNameError(f"nothing is called {name!r}. {suggest(name, known)}")


@app.command()
def reproduce(
    suite: Annotated[str, typer.Argument(help="A suite with published numbers.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Its results folder; default out/SUITE.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table here.")] = None,
) -> None:
    """Compare our numbers with the paper's: seed spread, and a verdict for every row."""
    from nsbench.benchmarks.reproduce import compare, load_paper, table_csv

    paper = load_paper(suite)
    report = compare(paper, ResultsFolder(out_dir or Path("out") / suite))
    table = Table("row", "score", "paper", "ours", "sd", "n", "verdict", title=paper.title)
    for row in report.rows:
        table.add_row(*map(escaped, row.shown()))
    out.print(table)
    for note in report.notes:
        out.print(f"[yellow]note[/]  {escaped(note)}", soft_wrap=True)
    for source in paper.sources:
        out.print(f"source: {escaped(source)}", soft_wrap=True)
    if csv is not None:
        write_atomically(csv, table_csv(report))


@app.command()
def doctor(
    config: Annotated[str, typer.Argument(help="A matrix file or suite to check.")] = "",
) -> None:
    """Say what is installed, whether the hub is reachable by setting, and what a suite lacks."""
    from nsbench.benchmarks.doctor import examine

    problems = 0
    for level, text in examine(config):
        mark = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[red]missing[/]"}[level]
        out.print(f"{mark}  {escaped(text)}", soft_wrap=True)
        problems += level == "bad"
    if problems:
        raise typer.Exit(USAGE)


@app.command()
def prefetch(
    config: Config,
    out_file: Annotated[
        Path | None, typer.Option("--manifest", help="Write what was fetched as JSON.")
    ] = None,
) -> None:
    """Fill the Hugging Face cache with all that a matrix names; run it where there is a network."""
    from nsbench.benchmarks.config import load_config
    from nsbench.benchmarks.prefetch import fetch

    rows = []
    for row in fetch(load_config(config)):
        rows.append(row)
        out.print(escaped(f"{row['kind']:8} {row['name']}  {row['revision']}"), soft_wrap=True)
    if out_file is not None:
        write_atomically(out_file, json.dumps(rows, indent=1) + "\n")


def add_groups() -> None:
    """Add the commands that have modules of their own."""
    from nsbench.benchmarks.mine.cli import mine

    app.command()(mine)


def main() -> None:
    """Entry point without the analysis commands."""
    add_groups()
    run_app(app)
