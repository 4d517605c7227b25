"""Cost of the rest of a tuning study, from the trials and the scored cells that have ended."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from nsbench.benchmarks.matrix.estimate import duration
from nsbench.benchmarks.runs.trials import Trial

RECENT = 30
"""Trials that tell what those of other methods take: the last ones, at this machine's speed now."""
_AS_EVER = 2.0
"""Up to so many times as long, methods and moments differ."""


@dataclass(frozen=True)
class Known:
    """Cells that have ended and tell what the rest will take.

    Attributes:
        trials: In order; the very first one loads data and libraries.
        scored: Seconds of each untrained cell, tests included.
        slower: Times as long as trials take here as they took where those of before ran.
    """

    trials: Sequence[Trial]
    scored: Sequence[float]
    slower: float = 1.0


def as_here(trials: Sequence[Trial], before: int, slower: float) -> list[Trial]:
    """Return trials with the seconds that they would take here; the first ``before`` ran before."""
    there = [replace(t, seconds=t.seconds * slower) for t in trials[:before]]
    return there + list(trials[before:])


def slower(before: Sequence[Trial], now: Sequence[Trial]) -> float:
    """Return how many times as long trials take now, 1 where that is no more than chance.

    Args:
        before: Trials that had ended, maybe on another machine.
        now: Trials of one method that ran here, of which the first one loads what all need.
    """
    if not before or not now:
        return 1.0
    own = [t.seconds for t in before if t.method == now[-1].method]
    times = now[-1].seconds / max(1e-3, median(own or [t.seconds for t in before]))
    return 1.0 if 1 / _AS_EVER < times < _AS_EVER else times


def seconds_left(
    methods: Sequence[str], known: Known, trials: int, fresh: int, left: int
) -> tuple[float, float]:
    """Return the seconds of one worker for the missing trials and for the missing fresh cells.

    Args:
        methods: Names of those that run.
        known: What has ended.
        trials: Of each method.
        fresh: Fresh cells of each method, at most.
        left: Fresh cells that are missing, of all methods.
    """
    done = known.trials
    first = done[0] if len(done) > 1 else None
    of = {name: [t for t in done if t.method == name] for name in methods}
    own = {name: [t.seconds for t in ended if t is not first] for name, ended in of.items()}
    others = [t.seconds for t in done if t is not first and t.method in own][-RECENT:]
    each = {name: median(took or others or [math.nan]) for name, took in own.items()}
    tests = known.slower * min(known.scored) if known.scored else 0.0  # one loads the data
    missing = sum(max(0, trials - len(of[name])) * each[name] for name in own)
    compared = sum(fresh * (each[name] + tests) for name in own)
    return missing, compared * left / max(1, fresh * len(own))


def in_hours(missing: float, compared: float, known: Known, workers: int) -> str:
    """Return the cost in words, and what it leaves out.

    Args:
        missing: Seconds of trials.
        compared: Seconds of fresh cells.
        known: What it is known from.
        workers: Processes that share the work.
    """
    note = ", loading the tests each time included" if len(known.scored) <= workers else ""
    if not known.scored:
        note = ", without the time of the tests, which nothing has told yet"
    if known.slower != 1:
        note += f"; a trial takes {known.slower:.2g} times as long here as before"
    return (
        f"about {(missing + compared) / workers / 3600:.2f} hours to go with {workers} "
        f"worker{'s' * (workers > 1)}, for {duration(missing)} of trials and "
        f"{duration(compared)} of fresh cells{note}"
    )
