"""The plan of a race: made once from a few timed trainings, written, and followed from then on.

A recommendation that was killed and is run again follows the same plan. The plan leaves a share of
the time unused. Where the time runs short all the same, the last stages are shortened; that is
written into the plan before it is followed, once, so that it never depends on a clock again.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nsbench.analysis.recommend.arms import Arm, arm_of
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.records import read_json

PLAN = "plan.json"
"""File of the plan in the folder of a recommendation."""
LADDER = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Steps that a full training may have: few values, so that the clock's jitter changes no plan."""
USED = 0.7
"""Share of the remaining time that a plan fills."""
FRESH_SEEDS = (101, 102, 103, 104, 105)
LEAST_SEEDS = 3
EPOCHS = 12
"""Passes over the training pairs that a full training may have at most."""


@dataclass(frozen=True)
class Shape:
    """Width of a race.

    Attributes:
        arms: Recipes at the start.
        seeds: Seeds of the first, second and third rung.
        temperatures: Race at several temperatures.
        curves: Draw scores against the number of negatives and the margin.
        fresh: Fresh seeds of the decision.
        finalists: Recipes that the decision compares with in_batch.
    """

    arms: int
    seeds: tuple[int, int, int]
    temperatures: bool
    curves: bool
    fresh: int
    finalists: int

    def steps_and_scores(self) -> tuple[float, int]:
        """Full trainings that the race costs, in their steps, and number of scored cells."""
        second = max(2, math.ceil(self.arms / 2))
        third = max(2, math.ceil(self.arms / 4)) * (3 if self.temperatures else 1)
        cells = [(self.arms, self.seeds[0], 0.25), (second, self.seeds[1], 0.5)]
        cells.append((third, self.seeds[2], 1.0))
        cells.append((self.finalists + 1, self.fresh, 1.0))
        if self.curves:
            cells.append((8, 1, 0.5))
        steps = sum(n * seeds * share for n, seeds, share in cells)
        return steps, sum(n * seeds for n, seeds, _ in cells) + 2


SHAPES = (
    Shape(13, (1, 2, 2), True, True, 5, 3),
    Shape(10, (1, 1, 1), True, True, 5, 2),
    Shape(8, (1, 1, 1), True, False, 4, 2),
    Shape(6, (1, 1, 1), False, False, 3, 1),
    Shape(4, (1, 1, 1), False, False, 3, 1),
)
"""From wide to narrow."""


@dataclass(frozen=True)
class Plan:
    """All that is run.

    Attributes:
        arms: The short list.
        shape: How wide the race is.
        steps: Of a full training.
        learning_rate: For all arms.
        minutes: That were given.
        spent: Seconds before the race, as the clock said when the plan was made.
        per_step: Seconds of a step then.
        per_score: Seconds of scoring then.
        temperatures: False where there was no time for several temperatures in the last rung;
            ``None`` until that is known.
        raced: Rungs that were run in full, and recipes of the rung after them; ``None`` until the
            race ends.
        fresh: Fresh seeds of the decision, fewer where time ran short; ``None`` until the race
            ends.
        curves: False where there was no time for curves; ``None`` until that is known.
    """

    arms: tuple[Arm, ...]
    shape: Shape
    steps: int
    learning_rate: float
    minutes: float
    spent: float
    per_step: float
    per_score: float
    temperatures: bool | None = None
    raced: tuple[int, int] | None = None
    fresh: int | None = None
    curves: bool | None = None

    def write(self, path: Path) -> "Plan":
        """Write it, and return it."""
        write_atomically(path, pretty_json(asdict(self)))
        return self

    def seconds(self, trainings: float, share: float = 1.0) -> float:
        """Seconds of some trainings with a share of the steps, scores included, as planned."""
        return trainings * (share * self.steps * self.per_step + self.per_score)

    def whole(self) -> float:
        """Seconds of the race and the decision, as planned."""
        full, scores = self.shape.steps_and_scores()
        return full * self.steps * self.per_step + scores * self.per_score

    def before_last_rung(self, left: float) -> "Plan":
        """Settle whether the seconds that are left suffice for several temperatures."""
        cells = 3 * max(2, math.ceil(self.shape.arms / 4)) * self.shape.seeds[2]
        need = self.seconds(cells + LEAST_SEEDS * (self.shape.finalists + 1))
        return replace(self, temperatures=self.shape.temperatures and left > need)

    def after_race(self, left: float, raced: tuple[int, int]) -> "Plan":
        """Settle what was raced and the number of fresh seeds."""
        each = max(self.seconds(self.shape.finalists + 1), 1e-9)
        able = int(min(max(left, 0) * 0.9 / each, self.shape.fresh))
        fresh = max(LEAST_SEEDS, able) if self.fresh is None else self.fresh
        return replace(self, raced=raced, fresh=fresh, temperatures=bool(self.temperatures))

    def after_decision(self, left: float) -> "Plan":
        """Settle whether there is time for curves."""
        return replace(self, curves=self.shape.curves and left > self.seconds(8, 0.5))

    def longer(self, minutes: float) -> "Plan":
        """The same plan with more time: what was settled for want of time is open again."""
        more = replace(self, minutes=minutes, temperatures=None, raced=None)
        return replace(more, fresh=None, curves=None)

    @property
    def settled(self) -> bool:
        """True if nothing is left to be settled."""
        return None not in (self.temperatures, self.raced, self.fresh, self.curves)


def read_plan(path: Path) -> Plan | None:
    """Return a plan that was written, ``None`` without one."""
    if not path.is_file():
        return None
    raw = read_json(path)
    shape = Shape(**{**raw["shape"], "seeds": tuple(raw["shape"]["seeds"])})
    raced = None if raw.get("raced") is None else tuple(raw["raced"])
    arms = tuple(map(arm_of, raw["arms"]))
    return Plan(**{**raw, "arms": arms, "shape": shape, "raced": raced})


def make_plan(
    arms: Sequence[Arm],
    *,
    minutes: float,
    spent: float,
    per_step: float,
    per_score: float,
    learning_rate: float,
    most_steps: int,
) -> Plan:
    """Choose the widest race with enough steps that fits the time.

    Args:
        arms: The short list.
        minutes: That were given, for everything.
        spent: Seconds so far.
        per_step: Seconds of a training step.
        per_score: Seconds of scoring a cell, start and end of a training included.
        learning_rate: For all arms.
        most_steps: Steps beyond which a training sees the data too often.

    Raises:
        ValueError: If not even the narrowest race fits; the message says what would.
    """
    legal = [s for s in LADDER if s <= max(most_steps, LADDER[0])]
    time = USED * (60 * minutes - spent)
    best: Plan | None = None
    for shape in SHAPES:
        full, scores = shape.steps_and_scores()
        able = [s for s in legal if full * s * per_step + scores * per_score <= time]
        if able and (best is None or (max(able) >= 2 * best.steps < legal[-1] / 2)):
            best = Plan(
                tuple(arms[: shape.arms]),
                shape,
                max(able),
                learning_rate,
                minutes,
                round(spent, 1),
                round(per_step, 5),
                round(per_score, 3),
            )
    if best is None:
        full, scores = SHAPES[-1].steps_and_scores()
        need = (full * LADDER[0] * per_step + scores * per_score) / USED + spent
        raise ValueError(
            f"--minutes {minutes:g} is too little here: the shortest race takes about "
            f"{math.ceil(need / 60)} minutes"
        )
    return best
