"""Models that nsbench did not train, on the same leaderboard: one record each in a results folder.

Source: the leaderboard of Muennighoff et al. 2023, MTEB, whose results folder is written as well.
https://arxiv.org/abs/2210.07316
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from nsbench.benchmarks.data import Pairs
from nsbench.benchmarks.data._reading import parse_reading
from nsbench.benchmarks.device import pick_device
from nsbench.benchmarks.encoders.pretrained import TextModel, load_model
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import check_tasks
from nsbench.benchmarks.evaluation.evaluate import evaluate as scores_of
from nsbench.benchmarks.evaluation.local_tasks import tasks_of_files
from nsbench.benchmarks.evaluation.mteb.requests import Request
from nsbench.benchmarks.evaluation.mteb.tasks import absent_tasks, refuse_missing, resolve, scored
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import content_key, pretty_json
from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    Score,
    read_record,
    scores_csv,
    write_record,
)
from nsbench.benchmarks.records.cell import Budget, Cell, Choice, Evaluation
from nsbench.benchmarks.records.local_task import LocalTask
from nsbench.benchmarks.runs import joining
from nsbench.benchmarks.runs.cell_run import environment, write_table


def evaluate(
    models: Sequence[str],
    out: str | Path,
    *,
    tasks: Sequence[str] = (),
    tests: Sequence[str | Path] = (),
    read: Sequence[str] = (),
    skip_missing: bool = False,
    device: str = "auto",
    batch_size: int = 64,
) -> list[RunRecord]:
    """Evaluate models that nsbench did not train; each becomes a row of the leaderboard.

    A model whose weights have a record of the same tests is not evaluated again.

    Args:
        models: Folders or hub names.
        out: Results folder; may be one of a matrix.
        tasks: mteb tasks, benchmarks, or ``STS7``, the default without tests.
        tests: Files with sentence1, sentence2, score or label; BEIR folders; ``name=path`` gives
            a task another name than its file.
        read: How tests are read, such as ``quotes=none``.
        skip_missing: Leave out tasks whose data are not here.
        device: ``auto``, ``cpu``, ``cuda`` ...
        batch_size: Texts that are encoded at once.

    Returns:
        The records, in the order of the models; `nsbench.load_results` reads the scores.

    Raises:
        ValueError: If a model cannot be loaded, or a task is unknown or its data are missing.
    """
    wanted, absent = tasks_of(tasks, tests, read, skip_missing=skip_missing)
    loading: dict[str, Any] = {"device": str(pick_device(device)), "batch_size": batch_size}
    folder = ResultsFolder(Path(out))
    return [
        evaluate_model(load_model(name, **loading), wanted, folder, absent=absent)[0]
        for name in models
    ]


def tasks_of(
    tasks: Sequence[str],
    tests: Sequence[str | Path],
    read: Sequence[str] = (),
    *,
    skip_missing: bool,
) -> tuple[tuple[str | LocalTask, ...], tuple[str, ...]]:
    """Return what models are to be evaluated on, and the tasks that are left out.

    Raises:
        ValueError: If a task is unknown, or its data are missing and not to be skipped.
    """
    wanted: tuple[str | LocalTask, ...] = tuple(
        tasks_of_files([str(path) for path in tests], parse_reading(read, "--read"))
    )
    wanted = (*(tasks or (() if wanted else ("STS7",))), *wanted)
    check_tasks(wanted)
    if skip_missing:
        return wanted, absent_tasks(wanted)
    refuse_missing(resolve(wanted))
    return wanted, ()


def cell_of(
    model: TextModel,
    tasks: Sequence[str | LocalTask],
    tests: Sequence[Pairs] = (),
    absent: tuple[str, ...] = (),
) -> Cell:
    """Return the model as a cell without training, its key made from weights and tests.

    Args:
        model: The model.
        tasks: mteb tasks, benchmarks or groups, and tasks of local files.
        tests: Own tests of pairs.
        absent: Tasks that are left out.
    """
    nothing = Choice("none")
    given = {"revision": model.revision[:12]}
    shown = model.name.startswith("local/")  # a folder's name says little
    named = tuple(tasks) + tuple(t.name for t in tests)
    inputs = {"weights": model.revision, "how": model.how}
    if not model.symmetric:
        inputs["prompts"] = "of the task"  # before, those of queries and documents had no effect
    if tests:
        plain = [[t.name, t.sentence1, t.sentence2, t.score] for t in tests]
        inputs["tests"] = content_key(plain)
    return Cell(
        sampler=Choice(model.name, given, {} if shown else given),
        view1=(nothing,),
        view2=(nothing,),
        objective=nothing,
        candidates=nothing,
        encoder=Choice("models as they are"),
        data=Choice("what they were trained on"),
        budget=Budget(steps=0),
        evaluation=Evaluation(tasks=named, absent=absent),
        difficulty_every=1,
        seed=0,
        inputs=inputs,
    )


def evaluated(model: TextModel) -> EvaluatedModel:
    """Return the model in the form that evaluation takes."""
    stated = getattr(model.loaded, "prompts", None) or model.prompts
    return EvaluatedModel(
        name=model.name,
        revision=model.revision,
        dimension=model.dimension,
        encode=lambda texts: model.encode(texts),
        encode_as=None if model.symmetric else model.encode,
        prompts={k: v for k, v in stated.items() if v is not None},
    )


def evaluate_model(
    model: TextModel,
    tasks: Sequence[str | LocalTask],
    folder: ResultsFolder,
    tests: Sequence[Pairs] = (),
    *,
    absent: tuple[str, ...] = (),
) -> tuple[RunRecord, bool]:
    """Evaluate a model and write its record, unless these weights have one already.

    Earlier evaluations of the same weights in the folder are joined: their scores are kept, only
    what they lack is evaluated, and one record holds all.

    Args:
        model: The model.
        tasks: mteb tasks, benchmarks or groups, such as ``STS7`` or ``MTEB(eng, v2)``, and tasks
            of local files.
        folder: Where the record goes; its ``mteb/`` gets the results in mteb's layout.
        tests: Own tests of pairs.
        absent: Tasks to leave out, as `mteb.tasks.absent_tasks` finds them.

    Returns:
        The record, and True if it was there.

    Raises:
        ValueError: If a task is unknown or its data are missing, or the folder has scores of
            another task with the same name.
    """
    cell = cell_of(model, tasks, tests, absent)
    there = finished(folder.cell(model.name, cell.key))
    if there is not None:
        return there, True
    before = [] if tests else joining.earlier(cell, folder)
    new: Sequence[Request] = joining.not_scored(scored(tasks, absent), before)
    if before:
        joined, left_out = joining.joined_tasks(tasks, absent, before)
        cell = cell_of(model, joined, (), left_out)
    paths = folder.cell(model.name, cell.key)
    there = finished(paths)
    if there is not None:
        return there, True
    started, clock = datetime.now(UTC), perf_counter()
    found = scores_of(evaluated(model), new, tests, results=paths.mteb if tasks else None)
    paths.folder.mkdir(parents=True, exist_ok=True)
    if (queries := joining.joined_queries(before, found.queries)) is not None:
        write_table(paths.queries, queries)
    scores = joining.joined_scores(before, found.scores)
    info = joining.joined_info(before, found.info)
    record = recorded(cell, paths, scores, info, weights=model.revision, since=(started, clock))
    joining.forget(before, paths)
    return record, False


def recorded(
    cell: Cell,
    paths: CellPaths,
    scores: list[Score],
    info: Mapping[str, Any],
    *,
    weights: str,
    since: tuple[datetime, float],
) -> RunRecord:
    """Write cell, scores and record of a model that was scored ``since`` then and not trained."""
    started, clock = since
    plain = cell.plain() | {"labels": cell.labels}
    write_atomically(paths.cell, pretty_json(plain))
    write_atomically(paths.scores, scores_csv(scores))
    record = RunRecord(
        key=cell.key,
        cell=plain,
        status="done",
        evaluation={k: v for k, v in info.items() if k != "seconds"},
        weights=weights,
        seconds={"evaluate": round(perf_counter() - clock, 3)},
        environment=environment(),
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_record(paths, record)
    return record


def finished(paths: CellPaths) -> RunRecord | None:
    """Return the record of a cell that is done, with its scores; ``None`` for any other."""
    try:
        record = read_record(paths)
    except RecordError:
        return None
    return record if record.status == "done" and paths.scores.is_file() else None
