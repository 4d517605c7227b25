"""The race: successive halving on the dev part, with paired seeds and the same budget for all.

Source: Jamieson and Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter
Optimization (successive halving). https://proceedings.mlr.press/v51/jamieson16.html
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nsbench.analysis.recommend.arms import (
    IN_BATCH,
    MARGINS,
    NUMBERS,
    TEMPERATURE,
    Arm,
    mined,
    with_temperatures,
)
from nsbench.analysis.recommend.cells import RACE, Ended, Trainings, mean
from nsbench.analysis.recommend.plan import LEAST_SEEDS, Plan

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
    """A stage of the race: arms from best to worst, and arms that time did not suffice for."""

    steps: int
    seeds: tuple[int, ...]
    places: tuple[Place, ...]
    left_out: tuple[Arm, ...] = ()


def race(trainings: Trainings, plan: Plan, path: Path, say: Say) -> tuple[list[Rung], Plan]:
    """Run the rungs of a plan while there is time, and settle the plan up to the decision.

    Where the time that is left is needed for the least decision, the arms that have not run in
    the open rung are left out, and so are all later rungs.
    """
    steps = [max(8, plan.steps // 4), max(8, plan.steps // 2), plan.steps]
    arms, rungs, full = list(plan.arms), list[Rung](), (len(steps), 0)
    for number, budget in enumerate(steps):
        if number == 2 and plan.temperatures is None:
            plan = plan.before_last_rung(trainings.left() / slowness(trainings, plan)).write(path)
        if number == 2 and plan.temperatures:
            arms = with_temperatures([a for a in arms if a.temperature == TEMPERATURE])
        kept = max(2, math.ceil(len(plan.arms) / 2 ** (number + 1)))
        if number == 2:
            kept = plan.shape.finalists
        rungs.append(_rung(trainings, plan, arms, (number, budget, kept), say))
        if rungs[-1].left_out:
            full = (number, len(arms) - len(rungs[-1].left_out))
            break
        arms = [p.arm for p in rungs[-1].places if p.kept]
    if plan.raced is None:
        plan = plan.after_race(trainings.left() / slowness(trainings, plan), full).write(path)
    return rungs, plan


def finalists(rungs: Sequence[Rung]) -> list[Arm]:
    """Return the arms of the decision, in_batch among them: one other where time ran out."""
    if not rungs[-1].left_out:
        return [p.arm for p in rungs[-1].places if p.kept]
    for rung in reversed(rungs):
        able = [p.arm for p in rung.places if math.isfinite(p.score)]
        others = [arm for arm in able if arm.sampler != IN_BATCH.sampler]
        if others:
            return [others[0], *[arm for arm in able if arm.sampler == IN_BATCH.sampler][:1]]
    return [IN_BATCH]


def slowness(trainings: Trainings, plan: Plan) -> float:
    """Return the time that trainings took as a multiple of the planned, at least 1."""
    found = [
        (e.seconds.get("total", 0.0), plan.seconds(1, key.steps / max(1, plan.steps)))
        for key, e in trainings.ended.items()
        if e.status == "done" and e.arm.trains
    ]
    took, planned = (sum(column) for column in zip(*found, strict=True)) if found else (0.0, 1.0)
    return max(1.0, took / max(planned, 1e-9))


def _rung(
    trainings: Trainings, plan: Plan, arms: Sequence[Arm], which: tuple[int, int, int], say: Say
) -> Rung:
    number, steps, keep = which
    seeds = tuple(range(1, plan.shape.seeds[number] + 1))
    given: Any = {"steps": steps, "learning_rate": plan.learning_rate, "seeds": seeds}
    found: list[tuple[Arm, list[Ended]]] = []
    for at, arm in enumerate(arms):
        if _ends(trainings, plan, (number, at), done=trainings.done(RACE, arm, **given)):
            say(f"rung {number + 1} ends here, for the time that is left is for the decision")
            break
        ended = trainings.run(RACE, arm, **given)
        found.append((arm, ended))
        told = f"dev {mean(ended):.2f}" if math.isfinite(mean(ended)) else ended[0].reason
        say(f"rung {number + 1}, {steps} steps: {arm.name}: {told}")
    left_out = tuple(arms[len(found) :])
    order = sorted(range(len(found)), key=lambda i: (-mean(found[i][1]), i))
    able = [i for i in order if math.isfinite(mean(found[i][1]))]
    # in_batch is in every rung, at its best temperature in the decision, and takes no place.
    own = [i for i in able if found[i][0].sampler == IN_BATCH.sampler]
    others = [i for i in able if i not in own]
    if number == 2 or left_out:
        others, own = _different(others, [arm for arm, _ in found]), own[:1]
    kept = {*others[: 1 if left_out else keep], *own}
    places = [Place(found[i][0], mean(found[i][1]), i in kept, tuple(found[i][1])) for i in order]
    return Rung(steps, seeds, tuple(places), left_out)


def _ends(trainings: Trainings, plan: Plan, at: tuple[int, int], *, done: bool) -> bool:
    """True if the race ends before an arm: as the plan says, or because time is needed."""
    if plan.raced is not None:
        return plan.raced == at
    need = plan.seconds(2 * LEAST_SEEDS) * slowness(trainings, plan)  # in_batch and one recipe
    return at != (0, 0) and not done and trainings.left() < need


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


def curves(trainings: Trainings, plan: Plan, path: Path, say: Say) -> tuple[list[Curve], Plan]:
    """Score mined negatives against their number and margin: all points, or none for want of time.

    The plan is settled first, in its file.
    """
    if plan.curves is None:
        plan = plan.after_decision(trainings.left() / slowness(trainings, plan)).write(path)
    seeds = tuple(range(1, plan.shape.seeds[1] + 1))
    steps = max(8, plan.steps // 2)
    given: Any = {"steps": steps, "learning_rate": plan.learning_rate, "seeds": seeds}
    numbers = [("0", IN_BATCH), *((str(k), mined(k)) for k in NUMBERS)]
    margins = [("none", mined(4)), *((f"{m:g}", mined(4, m)) for m in MARGINS)]
    out = []
    for title, x, arms in (
        ("Score against the number of mined negatives", "negatives per anchor", numbers),
        ("Score against the margin of mined negatives", "margin, share of s_pos", margins),
    ):
        points = []
        for name, arm in arms if plan.curves else ():
            if trainings.left() < 0 and not trainings.done(RACE, arm, **given):
                say("no curves are drawn, for the time is used up")
                return [], replace(plan, curves=False).write(path)
            found = trainings.run(RACE, arm, **given)
            points += [(name, e.seed, e.score) for e in found if e.status == "done"]
            say(f"curve: {arm.name}: dev {mean(found):.2f}")
        if points:
            out.append(Curve(title, x, tuple(points)))
    return out, plan
