"""Models that nsbench did not train, on the same leaderboard: one record each in a results folder.

Source: the leaderboard of Muennighoff et al. 2023, MTEB, whose results folder is written as well.
https://arxiv.org/abs/2210.07316
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from nsbench.benchmarks.data import Pairs
from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.evaluation.mteb.tasks import scored
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    read_record,
    scores_csv,
    write_record,
)
from nsbench.benchmarks.records.cell import Budget, Cell, Choice, Evaluation
from nsbench.benchmarks.records.local_task import LocalTask
from nsbench.benchmarks.runs.cell_run import environment


def cell_of(
    model: TextModel,
    tasks: Sequence[str | LocalTask],
    tests: Sequence[Pairs] = (),
    absent: tuple[str, ...] = (),
) -> Cell:
    """The model as a cell without training; its key is made from its weights and its tests.

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
    """The model as evaluation sees it."""
    return EvaluatedModel(
        name=model.name,
        revision=model.revision,
        dimension=model.dimension,
        encode=lambda texts: model.encode(texts),
    )


def evaluate_model(
    model: TextModel,
    tasks: Sequence[str | LocalTask],
    folder: ResultsFolder,
    tests: Sequence[Pairs] = (),
    *,
    absent: tuple[str, ...] = (),
) -> tuple[RunRecord, bool]:
    """Score a model and write its record, unless these weights have it already.

    Args:
        model: The model.
        tasks: mteb tasks, benchmarks or groups, such as ``STS7`` or ``MTEB(eng, v2)``, and tasks
            of local files.
        folder: Where the record goes; ``mteb/`` beside it gets the results in mteb's own layout.
        tests: Own tests of pairs.
        absent: Tasks to leave out, as `mteb.tasks.absent_tasks` finds them.

    Returns:
        The record, and whether it was there.

    Raises:
        ValueError: If a task is unknown or its data are missing.
    """
    cell = cell_of(model, tasks, tests, absent)
    paths = folder.cell(model.name, cell.key)
    there = _finished(paths)
    if there is not None:
        return there, True
    started, clock = datetime.now(UTC), perf_counter()
    found = evaluate(
        evaluated(model), scored(tasks, absent), tests, results=paths.mteb if tasks else None
    )
    paths.folder.mkdir(parents=True, exist_ok=True)
    plain: dict[str, Any] = cell.plain() | {"labels": cell.labels}
    write_atomically(paths.cell, _json(plain))
    write_atomically(paths.scores, scores_csv(found.scores))
    record = RunRecord(
        key=cell.key,
        cell=plain,
        status="done",
        evaluation={k: v for k, v in found.info.items() if k != "seconds"},
        weights=model.revision,
        seconds={"evaluate": round(perf_counter() - clock, 3)},
        environment=environment(),
        started=started.isoformat(timespec="seconds"),
    )
    record = replace(record, finished=datetime.now(UTC).isoformat(timespec="seconds"))
    write_record(paths, record)
    return record, False


def _finished(paths: CellPaths) -> RunRecord | None:
    try:
        record = read_record(paths)
    except RecordError:
        return None
    return record if record.status == "done" and paths.scores.is_file() else None


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
