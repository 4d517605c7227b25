"""State of a results folder: counts, rates, failures, alarms. Reads records and claims."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from nsbench.benchmarks.files import in_the_way
from nsbench.benchmarks.keys import visible
from nsbench.benchmarks.records import claims
from nsbench.benchmarks.records.folder import ResultsFolder, is_text, unfinished
from nsbench.benchmarks.records.json_file import RecordError
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.record import read_record
from nsbench.benchmarks.records.shared import Shared, no_collection
from nsbench.benchmarks.records.slurm_logs import log_of, logs, submitted
from nsbench.benchmarks.records.study import TRIALS, is_study

NOTES = 1000
"""Most failures, skips and unreadable files that a status spells out."""


def cell_text(cell: dict[str, Any]) -> str:
    """A cell in words, from its plain data."""
    labels = cell.get("labels") or {}
    return (
        f"{labels.get('sampler', '?')} x {labels.get('augmentation', '?')}, "
        f"seed {cell.get('seed', '?')}"
    )


def left(state: Mapping[str, Any]) -> int:
    """Return how many cells of a status, and of its trials, have not ended, as far as known."""
    counts = state["counts"]
    of_trials = left(state["trials"]) if state["trials"] else 0
    return int(counts["pending"] + counts["running"] + of_trials)


@dataclass(frozen=True, slots=True)
class _Ended:
    """Parts of a record that a status needs."""

    key: str
    status: str
    text: str
    reason: str
    seconds: float
    alarms: tuple[tuple[str, str], ...]
    log: str


class StatusReader:
    """Reads the status of a folder repeatedly; only changed files are read again."""

    def __init__(self, folder: ResultsFolder) -> None:
        self._folder = folder
        self._ended: dict[str, tuple[int, _Ended | str]] = {}
        self._planned: dict[str, int | None] = {}
        self._plan_stamp = -1
        self._plan_faults: list[str] = []
        self._foreign: list[str] = []
        self._tasks: dict[str, str] = {}
        self._trials: StatusReader | None = None

    def read(self) -> dict[str, Any]:
        """Counts by state, rates, failures and skips with reasons, alarms by kind.

        Returns:
            ``counts`` by state; ``at_work``, a row per claimed cell; ``slurm``, the folder of
            Slurm's logs, empty if no cell was ever submitted; ``rates`` (``cell_seconds``
            median, ``cells_per_hour``, ``eta_hours``; ``None`` where unknown); ``failures`` by
            kind; ``failed`` and ``skipped``, a row per cell, `NOTES` at most; ``alarms``;
            ``unreadable``, a line per file. Of a tuning study ``trials``, the same of its trials,
            ``None`` before the first one and elsewhere; ``planned``, false until all cells are
            known, which is after a study's trials.

        Raises:
            RecordError: If it is no results folder.
        """
        folder, study = self._folder, is_study(self._folder)
        if not folder.runs.is_dir() and not folder.matrix.is_file() and not study:
            raise RecordError(
                f"{folder.root} is no results folder: it has neither runs nor matrix.json"
            )
        self._read_plan()
        self._tasks = submitted(folder)
        with no_collection():
            at_work = self._read_cells()
        found = [e for _, e in self._ended.values()]
        rows = {e.key: e for e in found if isinstance(e, _Ended)}
        unreadable = [e for e in found if isinstance(e, str)]
        counts = Counter(e.status for e in rows.values())
        pending = len(self._planned.keys() - rows.keys())
        state: dict[str, int] = {name: counts[name] for name in ("done", "failed", "skipped")}
        state["running"] = min(len(at_work), pending)
        state["pending"] = pending - state["running"]
        unreadable += self._plan_faults + self._foreign
        ended = list(rows.values())
        return {
            "folder": str(folder.root),
            "counts": state,
            "at_work": at_work,
            "slurm": str(logs(folder)) if self._tasks else "",
            "rates": _rates(ended, pending, len(at_work)),
            "failures": _kinds(ended),
            "failed": _reasons(ended, "failed"),
            "skipped": _reasons(ended, "skipped"),
            "alarms": _alarms(ended),
            "unreadable": unreadable[:NOTES],
            "trials": self._read_trials() if study else None,
            "planned": not study or folder.matrix.is_file(),
        }

    def _read_trials(self) -> dict[str, Any] | None:
        trials = ResultsFolder(self._folder.root / TRIALS)
        if self._trials is None and (trials.runs.is_dir() or trials.matrix.is_file()):
            self._trials = StatusReader(trials)
        return None if self._trials is None else self._trials.read()

    def _read_plan(self) -> None:
        try:
            stamp = self._folder.matrix.stat().st_mtime_ns
        except OSError:
            return
        if stamp == self._plan_stamp:
            return
        self._plan_stamp, self._plan_faults = stamp, []
        try:
            cells = self._folder.read_matrix(self._plan_faults)["cells"]
            self._planned = {c["key"]: _steps(c["cell"]) for c in cells}
        except RecordError as error:
            self._planned = {}
            self._plan_faults.append(f"{error}")

    def _read_cells(self) -> list[dict[str, Any]]:
        at_work = []
        seen = set()
        shared = Shared()
        runs = self._folder.runs
        entries = sorted(os.scandir(runs), key=lambda e: e.name) if runs.is_dir() else ()
        self._foreign = []
        for entry in entries:
            name = entry.name
            if unfinished(name) or not entry.is_dir(follow_symlinks=False):
                continue
            if not is_text(name):
                self._foreign.append(f"{visible(entry.path)} is not a cell's folder: no UTF-8")
                continue
            try:
                stamp = os.stat(f"{entry.path}/record.json").st_mtime_ns  # noqa: PTH116  (speed)
            except OSError:
                paths = CellPaths(runs / name)
                if kind := in_the_way(paths.claim):
                    self._foreign.append(f"{paths.claim} is {kind}, not a file")
                elif (owner := claims.read_owner(paths.claim)) is not None:
                    at_work.append(self._row(paths, owner))
                continue
            seen.add(name)
            if name not in self._ended or self._ended[name][0] != stamp:
                self._ended[name] = stamp, _summary(CellPaths(runs / name), shared)
        for name in self._ended.keys() - seen:
            del self._ended[name]
        return at_work

    def _row(self, paths: CellPaths, owner: claims.Owner) -> dict[str, Any]:
        here = owner.machine == claims.this_machine()
        lost = here and claims.process_born(owner.pid) != owner.born
        key = paths.folder.name.rpartition("-")[2]
        task = self._tasks.get(key)
        return {
            "folder": paths.folder.name,
            "host": owner.host,
            "pid": owner.pid,
            "step": owner.step,
            "steps": self._planned.get(key),
            "lost": lost,
            "log": str(log_of(self._folder, task) if task else paths.log),
        }


def _steps(cell: dict[str, Any]) -> int | None:
    steps = (cell.get("budget") or {}).get("steps")
    return steps if isinstance(steps, int) else None


def _summary(paths: CellPaths, shared: Shared) -> _Ended | str:
    try:
        record = read_record(paths, shared)
        return _Ended(
            key=record.key,
            status=record.status,
            text=cell_text(record.cell),
            reason=record.reason,
            seconds=float(record.seconds.get("total", 0.0)),
            alarms=tuple((a["name"], str(a.get("text", ""))) for a in record.alarms),
            log=f"{paths.folder}/log.txt" if record.status != "done" else "",
        )
    except RecordError as error:
        return str(error)


def _rates(ended: list[_Ended], pending: int, workers: int) -> dict[str, float | None]:
    """Median seconds of a finished cell, and what follows from it with the workers of now."""
    took = [e.seconds for e in ended if e.status == "done" and e.seconds > 0]
    if not took:
        return {"cell_seconds": None, "cells_per_hour": None, "eta_hours": None}
    middle = median(took)
    hours = round(pending * middle / workers / 3600, 4) if workers else None
    return {
        "cell_seconds": round(middle, 3),
        "cells_per_hour": round(3600 * workers / middle, 2) if workers else None,
        "eta_hours": 0.0 if not pending else hours,
    }


def _kinds(ended: list[_Ended]) -> dict[str, int]:
    """Failures by kind: the error's type, or how the process ended; most frequent first."""
    found: Counter[str] = Counter()
    for cell in ended:
        if cell.status == "failed":
            head, colon, _ = cell.reason.partition(":")
            found[head if colon and " " not in head else cell.reason.partition(" (")[0]] += 1
    return dict(found.most_common())


def _reasons(ended: list[_Ended], status: str) -> list[dict[str, str]]:
    rows = [e for e in ended if e.status == status][:NOTES]
    return [{"cell": e.text, "reason": e.reason, "log": e.log} for e in rows]


def _alarms(ended: list[_Ended]) -> list[dict[str, Any]]:
    cells: Counter[str] = Counter()
    example: dict[str, str] = {}
    for cell in ended:
        for name, text in cell.alarms:
            cells[name] += 1
            example.setdefault(name, f"{cell.text}: {text}")
    return [{"alarm": n, "cells": k, "example": example[n]} for n, k in sorted(cells.items())]
