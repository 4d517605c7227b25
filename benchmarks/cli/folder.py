"""Commands that look after a results folder: status, retry, gc."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from nsbench.benchmarks.cli.console import (
    escaped,
    out,
)
from nsbench.benchmarks.records import RecordError, ResultsFolder

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Results folder.")]


def status(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show it live.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Show what is done, failed, skipped, at work and still to do, rates and every alarm."""
    from nsbench.benchmarks.records.status import StatusReader, left
    from nsbench.benchmarks.runs.live import view

    reader = StatusReader(ResultsFolder(folder))
    state = reader.read()
    if as_json:
        out.print_json(json.dumps(state))
        return
    if not watch:
        out.print(view(state, rows=40))
        return
    with Live(view(state), console=out, auto_refresh=False, screen=out.is_terminal) as live:
        while left(state) or not state["planned"]:
            time.sleep(every)
            state = reader.read()
            live.update(view(state), refresh=True)
    if out.is_terminal:
        out.print(view(state))


def retry(
    folder: Folder,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Those whose sampler, text, key or reason fits this glob; repeatable."),
    ] = None,
) -> None:
    """Forget failed cells, so that the next run does them again; their logs stay."""
    from nsbench.benchmarks.records.status import cell_text
    from nsbench.benchmarks.records.study import TRIALS, is_study
    from nsbench.benchmarks.runs.garbage import forget_failed

    results = ResultsFolder(folder)
    if folder.name == TRIALS and is_study(ResultsFolder(folder.absolute().parent)):
        raise RecordError(
            f"{folder} holds the trials of a tuning study: nsbench tune with --retry-failed runs "
            "failed ones again"
        )
    forgotten = forget_failed(results, only or ())
    for record in forgotten:
        out.print(escaped(f"{cell_text(record.cell)}: {record.reason}"), soft_wrap=True)
    by = "nsbench tune (failed trials with --retry-failed)" if is_study(results) else "nsbench run"
    out.print(f"{len(forgotten)} failed cells will be run again by the next {by}")


def gc(
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Results folder.")] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove it; without this it is only listed.")
    ] = False,
    caches: Annotated[
        bool, typer.Option("--caches", help="What runs share with each other, in its place.")
    ] = False,
) -> None:
    """List what no run needs any more: cells of an old recipe, orphaned files, stale claims."""
    from nsbench.benchmarks.records.cache import default_folder
    from nsbench.benchmarks.runs import garbage

    root = default_folder() if caches else folder
    if root is None:
        raise ValueError("name a results folder, or --caches" if not caches else "no cache is used")
    if caches and folder is not None:
        raise ValueError(f"--caches looks at {root}, not at {folder}: leave one of them out")
    results = ResultsFolder(root)
    waste = list(garbage.cached(root) if caches else garbage.find_waste(results))
    for item in waste:
        out.print(escaped(f"{item.path}  {item.size} bytes  {item.why}"), soft_wrap=True)
    total = f"{len(waste)} things, {sum(w.size for w in waste)} bytes"
    if delete:
        garbage.remove(results, waste)
        out.print(f"removed {total}")
    else:
        out.print(f"{total}; nsbench gc {'--caches' if caches else folder} --delete removes them")
