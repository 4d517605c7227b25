"""Evaluations of one model, made at different times into one folder, as one record."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from nsbench.benchmarks.evaluation.mteb.requests import Request
from nsbench.benchmarks.evaluation.mteb.tasks import scored
from nsbench.benchmarks.evaluation.ranking import QueryScores, query_table
from nsbench.benchmarks.records import CellPaths, ResultsFolder, RunRecord, Score, read_scores
from nsbench.benchmarks.records.cell import Cell
from nsbench.benchmarks.records.local_task import LocalTask, local_task

_SAME = ("sampler", "encoder", "data", "inputs")


@dataclass(frozen=True)
class Before:
    """An earlier evaluation of a model.

    Attributes:
        paths: Its files.
        record: Its record.
        tasks: What it was asked to be scored on.
        absent: Tasks that were left out.
    """

    paths: CellPaths
    record: RunRecord
    tasks: tuple[str | LocalTask, ...]
    absent: tuple[str, ...]

    @property
    def requests(self) -> tuple[Request, ...]:
        """Tasks that it has scores of."""
        return scored(self.tasks, self.absent)


def earlier(cell: Cell, folder: ResultsFolder) -> list[Before]:
    """Return the finished evaluations of a cell's model in a folder, those with most tasks first.

    Args:
        cell: The model as a cell, see `nsbench.benchmarks.runs.external.cell_of`.
        folder: The results folder; what cannot be read in it is passed over.
    """
    wanted, out = cell.plain(), []
    for paths, record in folder.records()[0]:
        asked = record.cell.get("evaluation")
        alike = all(record.cell.get(part) == wanted[part] for part in _SAME)
        done = record.status == "done" and paths.scores.is_file()
        if not (alike and done and asked):
            continue
        tasks = tuple(t if isinstance(t, str) else local_task(t) for t in asked["tasks"])
        out.append(Before(paths, record, tasks, tuple(asked.get("absent", ()))))
    return sorted(out, key=lambda b: (-len(b.tasks), b.record.key))


def not_scored(requests: Sequence[Request], before: Sequence[Before]) -> list[Request]:
    """Return the tasks that no earlier evaluation has.

    Raises:
        ValueError: If one has another task under the same name.
    """
    there = {r.name: (r, b) for b in reversed(before) for r in b.requests}
    out = []
    for request in requests:
        if request.name not in there:
            out.append(request)
            continue
        known, where = there[request.name]
        if _content(known) != _content(request):
            raise ValueError(
                f"{where.paths.folder} has scores of this model on another task called "
                f"{request.name!r}; give the new one another name (--test NAME=PATH) or write "
                "into another folder"
            )
    return out


def _content(request: Request) -> Any:
    return replace(request, path="", train="") if isinstance(request, LocalTask) else request


def joined_tasks(
    tasks: Sequence[str | LocalTask], absent: Sequence[str], before: Sequence[Before]
) -> tuple[tuple[str | LocalTask, ...], tuple[str, ...]]:
    """Return all tasks of the earlier evaluations and of a new one, and those absent from all."""
    every: dict[str, str | LocalTask] = {}
    for given in (*(b.tasks for b in before), tasks):
        for task in given:
            every.setdefault(task if isinstance(task, str) else task.name, task)
    sets = [({r.name for r in b.requests}, b.absent) for b in before]
    sets.append(({r.name for r in scored(tasks, absent)}, tuple(absent)))
    there = set().union(*(names for names, _ in sets))
    left_out = {name for _, names in sets for name in names} - there
    return tuple(every.values()), tuple(sorted(left_out))


def joined_scores(before: Sequence[Before], found: Sequence[Score]) -> list[Score]:
    """Return the earlier scores and the new ones; of a task that both have, the earlier."""
    out: list[Score] = []
    for scores in (*(read_scores(b.paths.scores) for b in before), found):
        known = {s.task for s in out}
        out += [s for s in scores if s.task not in known]
    return out


def joined_queries(before: Sequence[Before], found: Sequence[QueryScores]) -> pd.DataFrame | None:
    """Return the scores by query of earlier evaluations and of a new one; ``None`` for none."""
    parts = [pd.read_parquet(b.paths.queries) for b in before if b.paths.queries.is_file()]
    parts += [query_table(found)] if found else []
    out: list[pd.DataFrame] = []
    for part in parts:
        known = {task for one in out for task in one["task"].unique()}
        out.append(part[~part["task"].isin(known)])
    return pd.concat(out, ignore_index=True) if out else None


def joined_info(before: Sequence[Before], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the origin of all scores: tables by task are united, numbers of sentences added."""
    out: dict[str, Any] = {}
    for info in (*(b.record.evaluation for b in before), found):
        for name, value in info.items():
            known = out.get(name)
            if isinstance(known, dict) and isinstance(value, Mapping):
                out[name] = dict(value) | known
            elif name == "sentences" and known is not None:
                out[name] = known + value
            else:
                out.setdefault(name, value)
    return out


def forget(before: Sequence[Before], kept: CellPaths) -> None:
    """Remove the folders of evaluations whose scores another record holds now."""
    for one in before:
        if one.paths.folder != kept.folder:
            shutil.rmtree(one.paths.folder)
