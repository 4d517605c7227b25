"""The commands ``nsbench evaluate``, ``nsbench export`` and ``nsbench average``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from nsbench.benchmarks import hub
from nsbench.benchmarks.cli.console import (
    SOME_FAILED,
    err,
    escaped,
    out,
    say_left_out,
    settle_hub,
)
from nsbench.benchmarks.cli.progress import texts_shown
from nsbench.benchmarks.cli.scores import main_scores
from nsbench.benchmarks.records import ResultsFolder


def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Folders or hub names.")],
    to: Annotated[
        Path, typer.Option("--out", "-o", help="Results folder; may be one of a matrix.")
    ] = Path("out/models"),
    task: Annotated[
        list[str] | None,
        typer.Option(help="An mteb task, a benchmark, or STS7 (default if no --test); repeatable."),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]PATH",
            help="A file with sentence1, sentence2, score or label; a BEIR folder; repeatable.",
        ),
    ] = None,
    read: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION=VALUE", help="How tests are read: quotes=none; repeatable. See docs."
        ),
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out tasks whose data are not here.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 64,
) -> None:
    """Evaluate models that nsbench did not train; each becomes a row of the leaderboard."""
    from nsbench.benchmarks.device import pick_device
    from nsbench.benchmarks.encoders.pretrained import load_model
    from nsbench.benchmarks.runs.external import evaluate_model, tasks_of

    if task or not test or not all(map(hub.is_local, models)):
        settle_hub()
    tasks, absent = tasks_of(task or (), test or (), read or (), skip_missing=skip_missing)
    _say_left_out_rows(tasks)
    say_left_out(absent)
    folder, failed = ResultsFolder(to), 0
    for name in models:
        try:
            with err.status(escaped(f"loading {name}")):
                model = load_model(name, device=str(pick_device(device)), batch_size=batch_size)
            with texts_shown(f"evaluating {name}"):
                record, before = evaluate_model(model, tasks, folder, absent=absent)
        except (ValueError, RuntimeError, OSError) as error:
            failed += 1
            err.print(f"[red]failed[/] {escaped(name)}: {escaped(str(error))}", soft_wrap=True)
            continue
        found = main_scores(folder.cell(model.name, record.key).scores)
        scores = "  ".join(f"{escaped(task)} {value:.2f}" for task, value in found.items())
        shown = f"{escaped(model.name)}@{model.revision[:12]}{' (from before)' if before else ''}"
        out.print(f"{shown}  {scores}", soft_wrap=True)
        for tied, ties in record.evaluation.get("ties", {}).items():
            text = f"equal scores in {ties['tied']} of {ties['rows']} rankings"
            out.print(f"  {escaped(tied)}: {text}; mteb orders them by ids", soft_wrap=True)
    if len(models) > failed:
        out.print(f"next: nsbench leaderboard {to} --baseline NAME", soft_wrap=True)
    if failed:
        raise typer.Exit(SOME_FAILED)


def _say_left_out_rows(tasks: Iterable[object]) -> None:
    """Print what was left out of the files of tasks."""
    from nsbench.benchmarks.data._reading import reasons_of
    from nsbench.benchmarks.evaluation.local_tasks import left_out

    for name, reasons in left_out(tasks).items():
        for text in reasons_of(reasons):
            err.print(escaped(f"{name}: {text}"), soft_wrap=True)


def export(
    cell: Annotated[Path, typer.Argument(help="A cell's folder, or a results folder with --cell.")],
    to: Annotated[Path, typer.Option("--to", help="New folder of the model.")],
    key: Annotated[str, typer.Option("--cell", help="Key or sampler of the cell.")] = "",
    pooling: Annotated[str, typer.Option(help="mean or cls, if its own has no module.")] = "",
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train it again if it kept no weights.")
    ] = False,
    push: Annotated[
        str, typer.Option(metavar="OWNER/NAME", help="Also push it to this hub repository.")
    ] = "",
) -> None:
    """Write a trained cell as a sentence-transformers model, with a card from its record."""
    from nsbench.benchmarks.export.cell import check_exportable, export_cell, find_cell

    folder, destination = find_cell(cell, key), None
    if push:
        from nsbench.benchmarks.export.push import prepare

        check_exportable(folder, to, retrain=retrain)
        settle_hub()
        destination = prepare(push)
    with err.status(f"exporting {folder.name}"):
        record = export_cell(folder, to, pooling=pooling, retrain=retrain, place=push)
    out.print(f"wrote {to}: weights {record.weights[:12]}, as recorded", soft_wrap=True)
    if destination is not None:
        from nsbench.benchmarks.export.push import push as upload

        with err.status(f"uploading to {push}"):
            address = upload(to, destination, f"nsbench cell {record.key}")
        seen = "private" if destination.private else "public"
        out.print(f"pushed to {push} ({seen}): {address}", soft_wrap=True)


def average(
    results: Annotated[Path, typer.Argument(help="Results folder whose cells kept weights.")],
) -> None:
    """Average each method's weights over its seeds; the average becomes a row next to it."""
    from nsbench.benchmarks.export.average import average as averages

    folder, made = ResultsFolder(results), 0
    for found in averages(folder):
        name = f"{escaped(found.method)}, seeds {', '.join(map(str, found.seeds))}"
        if found.record is None:
            err.print(f"left out {name}: {found.reason}", soft_wrap=True)
            continue
        made += 1
        values = main_scores(folder.cell("average", found.record.key).scores)
        scores = "  ".join(f"{escaped(task)} {value:.2f}" for task, value in values.items())
        out.print(f"{name}{' (from before)' if found.before else ''}  {scores}", soft_wrap=True)
    if not made:
        raise ValueError(f"{results} has no method with the weights of several seeds")


def describe_cell(folder: Path) -> None:
    """Print which negatives the anchors of a cell meet in its first step."""
    from nsbench.benchmarks.export.cell import cell_from
    from nsbench.benchmarks.records import CellPaths, read_json
    from nsbench.benchmarks.training.first_step import first_step, told

    plain = read_json(CellPaths(folder).cell)
    cell = cell_from({k: v for k, v in plain.items() if k != "labels"})
    out.print(f"[bold]{escaped(str(cell))}[/]: the first step", soft_wrap=True)
    for line in told(first_step(cell)):
        out.print(f"  {escaped(line)}", soft_wrap=True)
