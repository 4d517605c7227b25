"""The result of a recommendation in memory, before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.analysis.recommend.arms import Arm
from nsbench.analysis.recommend.decide import Decision
from nsbench.analysis.recommend.plan import Plan
from nsbench.analysis.recommend.race import Curve, Rung


@dataclass(frozen=True)
class Told:
    """A recommendation.

    Attributes:
        outcome: ``learned``, ``nothing can be learned``, ``too little to tell``, or ``undecided``
            where time ran out.
        sentence: It in one sentence.
        folder: Where the pages and files are.
        files: Pages and files, the page first.
        decision: What was decided; ``None`` where nothing was.
    """

    outcome: str
    sentence: str
    folder: Path
    files: tuple[Path, ...]
    decision: Decision | None


@dataclass(frozen=True, eq=False)
class Story:
    """All that the pages tell.

    Attributes:
        facts: All that was known before the race, the content of ``prepared.json``.
        plan: The plan; ``None`` where nothing raced.
        rungs: Of the race.
        decision: ``None`` where nothing was decided.
        curves: Scores against settings.
        cost: Counts of trainings, steps and encoder passes.
        slowness: How many times as long as planned trainings took.
    """

    facts: Mapping[str, Any]
    plan: Plan | None
    rungs: Sequence[Rung]
    decision: Decision | None
    curves: Sequence[Curve]
    cost: Mapping[str, int]
    slowness: float = 1.0

    @property
    def left_out(self) -> tuple[Arm, ...]:
        """Arms that time did not suffice for."""
        return self.rungs[-1].left_out if self.rungs else ()
