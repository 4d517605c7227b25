"""Trials of a tuning study, and what is tried next: defaults, then one design for all methods."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.matrix.tune_file import Range
from nsbench.benchmarks.records import RunRecord
from nsbench.benchmarks.seeds import seed_for

Values = dict[str, Any]
DRAWN = "defaults, then one design for all methods"
"""The way trials are chosen; another text here makes other studies."""


@dataclass(frozen=True)
class Trial:
    """One setting of a method and how it did.

    Attributes:
        method: Name of the method.
        number: Of its trials, from 0, the defaults.
        values: By ``owner.parameter``.
        keys: Of its cells.
        value: Mean dev score; NaN if a cell failed.
        seconds: That its cells took.
    """

    method: str
    number: int
    values: Values
    keys: tuple[str, ...]
    value: float
    seconds: float = 0.0

    def line(self) -> str:
        """As one line of JSON."""
        value = self.value if math.isfinite(self.value) else None
        return canonical_json({**vars(self), "keys": list(self.keys), "value": value}) + "\n"


def ended_trials(path: Path) -> list[Trial]:
    """Return every trial that a file lists, in order; a line cut short counts as none."""
    out = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            raw = json.loads(line)
            value = math.nan if raw["value"] is None else float(raw["value"])
            out.append(Trial(**{**raw, "keys": tuple(raw["keys"]), "value": value}))
        except (ValueError, KeyError, TypeError):
            continue
    return out


def before_failed(trials: Sequence[Trial], of: Mapping[str, str]) -> list[Trial]:
    """Return the trials of each method up to its first one that has a failed cell.

    Those after it are left out, too: a method's trials are listed in the order of their numbers,
    and they are listed again from their records.

    Args:
        trials: In order.
        of: Status of each cell that has a record, by its key; one without a record has failed.
    """
    stopped = set()
    kept = []
    for trial in trials:
        if math.isnan(trial.value) and any(of.get(k, "failed") == "failed" for k in trial.keys):
            stopped.add(trial.method)
        kept += [] if trial.method in stopped else [trial]
    return kept


def drawn(space: Mapping[str, Range], number: int, *, size: int, seed: int) -> Values:
    """Return the values of a method's trial.

    The first trial is the defaults, the others are the points of one design. A parameter that
    several methods have gets the same values in all of them, so that none does better by the luck
    of a draw.

    Args:
        space: Ranges by ``owner.parameter``.
        number: Of the trial, from 0.
        size: Trials that every method gets.
        seed: The study's.
    """
    if not number:
        return {}
    return {name: design(r, number - 1, size - 1, seed, name) for name, r in space.items()}


def design(allowed: Range, number: int, size: int, seed: int, name: str) -> Any:
    """Return one of ``size`` values of a parameter, one from each equal part of its range.

    Args:
        allowed: The range.
        number: Which value, from 0.
        size: Of the design.
        seed: The study's.
        name: ``owner.parameter``; the values depend on it and on no method.

    Source: McKay, Beckman, Conover 1979, A Comparison of Three Methods for Selecting Values of
    Input Variables (Latin hypercube sampling). https://doi.org/10.1080/00401706.1979.10489755
    """
    rng = np.random.default_rng(seed_for(seed, f"design of {name}"))
    share = float((rng.permutation(size) + rng.random(size))[number]) / size  # in [0, 1)
    if allowed.values:
        return allowed.values[int(share * len(allowed.values))]
    low, high = float(allowed.low or 0), float(allowed.high or 0)
    whole = isinstance(allowed.low, int) and isinstance(allowed.high, int)
    if allowed.log:
        value = math.exp(math.log(low) + share * (math.log(high + whole) - math.log(low)))
    else:
        value = low + share * (high + whole - low)
    return min(int(value), int(high)) if whole else value


def in_words(values: Values) -> str:
    """Return a trial's values in words."""
    return ", ".join(f"{k}={v}" for k, v in values.items()) or "defaults"


def skip_reason(records: Sequence[RunRecord]) -> str:
    """Return the reason why a method was skipped; empty if any cell of it ran."""
    every = bool(records) and all(r.status == "skipped" for r in records)
    return records[0].reason or "skipped" if every else ""


def dev_score(records: Sequence[RunRecord]) -> float:
    """Mean dev score over a trial's cells; NaN unless all are done."""
    if any(r.status != "done" for r in records):
        return math.nan
    return sum(float(r.cost.get("dev_best", math.nan)) for r in records) / len(records)


def append_line(path: Path, line: str) -> None:
    """Add a line; what a full disk left of one before it, which says nothing, is dropped."""
    before = path.read_bytes() if path.is_file() else b""
    write_atomically(path, before[: before.rfind(b"\n") + 1] + line.encode())
