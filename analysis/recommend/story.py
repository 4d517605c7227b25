"""The result of a recommendation in memory, before it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.analysis.recommend.decide import Decision
from nsbench.analysis.recommend.plan import Plan
from nsbench.analysis.recommend.race import Curve, Rung


@dataclass(frozen=True)
class Told:
    """A recommendation.

    Attributes:
        outcome: ``learned``, ``nothing can be learned`` or ``too little to tell``.
        sentence: It in one sentence.
        folder: Where the pages and files are.
        files: Pages and files, the page first.
        decision: What was decided; ``None`` where there is too little to tell.
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
        name: Of the data.
        audit: The audit as plain data.
        parts: Queries, documents and pairs of each part.
        plan: The plan; ``None`` where nothing raced.
        rungs: Of the race.
        decision: ``None`` where nothing was decided.
        curves: Scores against settings.
        least: Smallest difference that the locked part can show, and the pairs that would do.
        wanted: Difference that it should show.
        notes: What a reader should know.
        cost: Counts of trainings, steps and encoder passes.
    """

    name: str
    audit: Mapping[str, Any]
    parts: Mapping[str, Any]
    plan: Plan | None
    rungs: Sequence[Rung]
    decision: Decision | None
    curves: Sequence[Curve]
    least: tuple[float, int]
    wanted: float
    notes: Sequence[str]
    cost: Mapping[str, int]
