"""The race: successive halving on the dev part, with paired seeds and the same budget for all.

Source: Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter
Optimization (successive halving). https://proceedings.mlr.press/v51/jamieson16.html
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nsbench.analysis.recommend.arms import (
    IN_BATCH,
    MARGINS,
    NUMBERS,
    TEMPERATURE,
    Arm,
    mined,
    with_temperatures,
)
from nsbench.analysis.recommend.cells import Ended, Setting, mean, run
from nsbench.analysis.recommend.plan import Plan

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """An arm in a rung.

    Attributes:
        arm: The arm.
        score: Mean dev score in points; minus infinity where a training was not done.
        kept: Goes on.
        ended: Its trainings.
    """

    arm: Arm
    score: float
    kept: bool
    ended: tuple[Ended, ...]


@dataclass(frozen=True)
class Rung:
    """A stage of the race: arms from best to worst."""

    steps: int
    seeds: tuple[int, ...]
    places: tuple[Place, ...]


def race(setting: Setting, plan: Plan, path: Path, say: Say) -> tuple[list[Rung], Plan]:
    """Run the rungs of a plan, which settles before the last one whether temperatures race.

    Args:
        setting: What all arms share.
        plan: The plan.
        path: Its file.
        say: Told what ends.
    """
    steps = [max(8, plan.steps // 4), max(8, plan.steps // 2), plan.steps]
    arms, rungs = list(plan.arms), list[Rung]()
    for number, budget in enumerate(steps):
        if number == 2 and plan.temperatures is None:
            plan = plan.before_last_rung(seconds(rungs)).write(path)
        if number == 2 and plan.temperatures:
            arms = with_temperatures([a for a in arms if a.temperature == TEMPERATURE])
        kept = max(2, math.ceil(len(plan.arms) / 2 ** (number + 1)))
        if number == 2:
            kept = plan.shape.finalists
        rungs.append(_rung(setting, plan, arms, (number, budget, kept), say))
        arms = [p.arm for p in rungs[-1].places if p.kept]
    return rungs, plan


def seconds(rungs: Sequence[Rung]) -> float:
    """Seconds that the trainings of some rungs took, by their records."""
    every = {e.folder: e for rung in rungs for place in rung.places for e in place.ended}
    return float(sum(e.seconds.get("total", 0.0) for e in every.values()))


def _rung(
    setting: Setting, plan: Plan, arms: Sequence[Arm], which: tuple[int, int, int], say: Say
) -> Rung:
    number, steps, keep = which
    seeds = tuple(range(1, plan.shape.seeds[number] + 1))
    found: list[tuple[Arm, list[Ended]]] = []
    for arm in arms:
        rate = plan.learning_rate
        ended = run(setting, "race", arm, steps=steps, learning_rate=rate, seeds=seeds)
        found.append((arm, ended))
        told = f"dev {mean(ended):.2f}" if math.isfinite(mean(ended)) else ended[0].reason
        say(f"rung {number + 1}, {steps} steps: {arm.name}: {told}")
    order = sorted(range(len(found)), key=lambda i: (-mean(found[i][1]), i))
    last = number == 2
    able = [i for i in order if math.isfinite(mean(found[i][1]))]
    # in_batch is in every rung, at its best temperature in the decision, and takes no place.
    own = [i for i in able if found[i][0].sampler == IN_BATCH.sampler]
    others = [i for i in able if i not in own]
    if last:
        others, own = _different(others, [arm for arm, _ in found]), own[:1]
    kept = {*others[:keep], *own}
    places = [Place(found[i][0], mean(found[i][1]), i in kept, tuple(found[i][1])) for i in order]
    return Rung(steps, seeds, tuple(places))


def _different(order: Sequence[int], arms: Sequence[Arm]) -> list[int]:
    """The best temperature of each recipe first, then the others."""
    seen: set[str] = set()
    first = []
    for i in order:
        if arms[i].shown not in seen:
            seen.add(arms[i].shown)
            first.append(i)
    return [*first, *(i for i in order if i not in first)]


@dataclass(frozen=True)
class Curve:
    """Scores on dev against one setting.

    Attributes:
        title: What is varied.
        x: Label of the axis.
        points: Setting, seed and score.
    """

    title: str
    x: str
    points: tuple[tuple[str, int, float], ...]


def curves(setting: Setting, plan: Plan, say: Say) -> list[Curve]:
    """Score mined negatives against their number, and against their margin to the positive."""
    out = []
    for title, x, arms in (
        ("Score against the number of mined negatives", "negatives per anchor", _numbers()),
        ("Score against the margin of mined negatives", "margin, share of s_pos", _margins()),
    ):
        points = []
        for name, arm in arms:
            found = run(
                setting,
                "race",
                arm,
                steps=max(8, plan.steps // 2),
                learning_rate=plan.learning_rate,
                seeds=tuple(range(1, plan.shape.seeds[1] + 1)),
            )
            points += [(name, e.seed, e.score) for e in found if e.status == "done"]
            say(f"curve: {arm.name}: dev {mean(found):.2f}")
        if points:
            out.append(Curve(title, x, tuple(points)))
    return out


def _numbers() -> list[tuple[str, Arm]]:
    return [("0", IN_BATCH), *((str(k), mined(k)) for k in NUMBERS)]


def _margins() -> list[tuple[str, Arm]]:
    return [("none", mined(4)), *((f"{m:g}", mined(4, m)) for m in MARGINS)]
