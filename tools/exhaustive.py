"""Train every recipe of a recommendation's short list; compare the recommended one with the best.

    python -m tools.exhaustive out/recommend-pairs > table.md

All recipes get the steps and the learning rate of the decision, every temperature that the race
could try, and seeds that neither the race nor the decision used. They are scored on the locked
part. So this reads the locked part again: it is for judging `nsbench recommend`, and not for
choosing a recipe. The trainings are cells in ``exhaustive``; a run that was stopped goes on.
"""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.analysis.recommend.arms import (
    CLOSED_FORM,
    IN_BATCH,
    UNTRAINED,
    Arm,
    arm_of,
    with_temperatures,
)
from nsbench.analysis.recommend.cells import EXHAUSTIVE, Doubles, Setting, Trainings, mean
from nsbench.analysis.recommend.decide import NOTHING
from nsbench.analysis.recommend.plan import PLAN, Plan, read_plan
from nsbench.analysis.recommend.recommendation import PREPARED
from nsbench.analysis.statistics.verdicts import MARGIN, WORSE, judge
from nsbench.analysis.tables.text import markdown_lines, markdown_text
from nsbench.benchmarks.records import read_json

SEEDS = (201, 202, 203, 204, 205)
"""Seeds of the comparison."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Recipes on the locked part, and the recommended one among them.

    Attributes:
        arms: A recipes.
        scores: ``(A, S)`` nDCG@10 in points, by seed.
        chosen: Place of the recommended one.
        steps: Of every training.
    """

    arms: tuple[Arm, ...]
    scores: Doubles
    chosen: int
    steps: int

    @property
    def means(self) -> Doubles:
        """``(A,)`` mean over seeds."""
        found: Doubles = self.scores.mean(axis=1)
        return found

    @property
    def best(self) -> int:
        """Place of the best recipe."""
        return int(self.means.argmax())

    @property
    def behind(self) -> float:
        """Points from the recommended one to the best."""
        return float(self.means[self.best] - self.means[self.chosen])

    @property
    def near(self) -> bool:
        """True if the recommended one is within the margin of the best."""
        return self.behind <= MARGIN

    @property
    def worse(self) -> bool:
        """True if the recommended one is significantly worse than the best."""
        verdicts = judge(self.scores, [self.best] * len(self.arms)).verdict()
        return bool(verdicts[self.chosen] == WORSE)

    def trained(self, chosen: str) -> "Compared":
        """Compare only the recipes that take steps, with another one as the recommended one."""
        kept = [i for i, arm in enumerate(self.arms) if arm.trains]
        arms = tuple(self.arms[i] for i in kept)
        place = [arm.name for arm in arms].index(chosen)
        return replace(self, arms=arms, scores=self.scores[kept], chosen=place)


def compare(folder: Path, seeds: tuple[int, ...] = SEEDS) -> Compared:
    """Train every recipe of a recommendation, or find that it is done.

    Args:
        folder: Of the recommendation.
        seeds: One training with each.
    """
    plan = read_plan(folder / PLAN)
    told = read_json(folder / "recommendation.json")
    if plan is None or "chosen" not in told:
        raise SystemExit(f"{folder} holds no recommendation of a recipe")
    trainings = Trainings(Setting.of(folder, read_json(folder / PREPARED)))
    found = []
    for arm in _arms(plan, told):
        varies = trainings.setting.varies(arm)
        own = seeds if varies else seeds[:1]
        steps, rate = plan.steps, plan.learning_rate
        ended = trainings.run(EXHAUSTIVE, arm, steps=steps, learning_rate=rate, seeds=own)
        if math.isfinite(mean(ended)):
            found.append((arm, ended * (1 if varies else len(seeds))))
    names = [arm.name for arm, _ in found]
    chosen = told["chosen"]["recipe"]["name"]
    return Compared(
        tuple(arm for arm, _ in found),
        np.array([[e.score for e in ended] for _, ended in found]),
        names.index(UNTRAINED.name if told["outcome"] == NOTHING else chosen),
        plan.steps,
    )


def _arms(plan: Plan, told: dict[str, Any]) -> list[Arm]:
    """Every recipe of the short list and of the decision; temperatures where those raced."""
    raced = [IN_BATCH, *plan.arms]
    if plan.temperatures:
        raced = with_temperatures(raced)
    arms = [UNTRAINED, CLOSED_FORM, *raced, *(arm_of(m["recipe"]) for m in told["methods"])]
    return list({a.name: a for a in arms}.values())


def table(found: Compared) -> str:
    """Return the comparison as Markdown, the best recipe first."""
    names, means, chosen = [a.name for a in found.arms], found.means, found.chosen
    verdicts = judge(found.scores, [chosen] * len(names))
    rows = [
        (
            markdown_text(names[i]) + (" (recommended)" if i == chosen else ""),
            f"{means[i]:.2f}",
            ""
            if i == chosen
            else f"{verdicts.gap[i]:+.2f} ± {verdicts.gap_half[i]:.2f} ({verdicts.verdict()[i]})",
        )
        for i in np.argsort(-means, kind="stable")
    ]
    columns = ("recipe", "nDCG@10", "difference to the recommended one")
    says = (
        f"{len(names)} recipes, {found.steps} steps, {found.scores.shape[1]} seeds. The "
        f"recommended one is {'' if found.worse else 'not '}significantly worse than the best, and "
        f"{found.behind:.2f} points from it."
    )
    return "\n".join([*markdown_lines(columns, rows), "", says]) + "\n"


def main() -> None:
    """Print the table of every folder, and a line about all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), choices=range(2, len(SEEDS) + 1))
    given = parser.parse_args()
    made = [compare(folder, SEEDS[: given.seeds]) for folder in given.folders]
    print("\n".join(map(table, made)))  # noqa: T201
    if len(made) > 1:
        print(  # noqa: T201
            f"{len(made)} recommendations: {sum(one.worse for one in made)} significantly worse "
            f"than the best recipe, {sum(one.near for one in made)} within {MARGIN:g} points of it."
        )


if __name__ == "__main__":
    main()
