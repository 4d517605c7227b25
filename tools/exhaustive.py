"""Train every recipe of a recommendation's short list; compare the recommended one with the best.

    python -m tools.exhaustive out/recommend-pairs > table.md

All recipes get the steps, the learning rate and the fresh seeds of the decision, and are scored on
the locked part. So this reads the locked part again: it is for judging `nsbench recommend`, and not
for choosing a recipe.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from nsbench.analysis.recommend.arms import CLOSED_FORM, IN_BATCH, UNTRAINED, Arm, arm_of
from nsbench.analysis.recommend.cells import TEST, Setting, mean, run
from nsbench.analysis.recommend.plan import FRESH_SEEDS, read_plan
from nsbench.analysis.statistics.verdicts import MARGIN, WORSE, judge
from nsbench.analysis.tables.text import markdown_lines, markdown_text
from nsbench.benchmarks.records import read_json


def table(folder: Path) -> tuple[str, bool, bool]:
    """Return the table, and whether the recommended recipe is worse than the best, and near it.

    Args:
        folder: Of the recommendation.
    """
    plan = read_plan(folder / "plan.json")
    told, asked = (read_json(folder / f"{name}.json") for name in ("recommendation", "asked"))
    if plan is None or "chosen" not in told:
        raise SystemExit(f"{folder} holds no recommendation of a recipe")
    cell = read_json(next(folder.glob("decision/runs/in_batch-*/cell.json")))
    batch = int(cell["budget"]["batch_size"])
    setting = Setting(folder, asked["encoder"], asked["device"], batch)
    seeds = FRESH_SEEDS[: plan.fresh]
    arms: list[Arm] = [UNTRAINED, IN_BATCH, CLOSED_FORM, *plan.arms]
    arms += [arm_of(m["recipe"]) for m in told["methods"]]
    found = []
    for arm in {a.name: a for a in arms}.values():
        rate = plan.learning_rate
        own = seeds if arm.trains else seeds[:1]
        ended = run(
            setting, "decision", arm, steps=plan.steps, learning_rate=rate, seeds=own, part=TEST
        )
        if math.isfinite(mean(ended)):
            found.append((arm, ended * (1 if arm.trains else len(seeds))))
    means = np.array([[e.score for e in ended] for _, ended in found])
    names = [arm.name for arm, _ in found]
    chosen = names.index(told["chosen"]["recipe"]["name"])
    best = int(means.mean(axis=1).argmax())
    verdicts = judge(means, [chosen] * len(names))
    against = judge(means, [best] * len(names))
    worse = against.verdict()[chosen] == WORSE
    near = bool(means[best].mean() - means[chosen].mean() <= MARGIN)
    rows = [
        (
            markdown_text(names[i]) + (" (recommended)" if i == chosen else ""),
            f"{means[i].mean():.2f}",
            ""
            if i == chosen
            else f"{verdicts.gap[i]:+.2f} ± {verdicts.gap_half[i]:.2f} ({verdicts.verdict()[i]})",
        )
        for i in np.argsort(-means.mean(axis=1))
    ]
    columns = ("recipe", "nDCG@10", "difference to the recommended one")
    says = (
        f"{len(names)} recipes, {plan.steps} steps, {len(seeds)} seeds. The recommended one is "
        f"{'' if worse else 'not '}significantly worse than the best, and "
        f"{means[best].mean() - means[chosen].mean():.2f} points from it."
    )
    return "\n".join([*markdown_lines(columns, rows), "", says]) + "\n", worse, near


def main() -> None:
    """Print the table of every folder, and a line about all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    made = [table(folder) for folder in parser.parse_args().folders]
    print("\n".join(text for text, _, _ in made))  # noqa: T201
    worse, near = sum(one[1] for one in made), sum(one[2] for one in made)
    print(  # noqa: T201
        f"{len(made)} recommendations: {worse} significantly worse than the best recipe, {near} "
        f"within {MARGIN:g} points of it."
    )


if __name__ == "__main__":
    main()
