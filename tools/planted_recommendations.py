"""Compare recommendations on planted data with the best recipe of an exhaustive matrix.

    python -m tools.planted_recommendations out/planted --draws 4 > planted.csv

Every draw is a CSV of planted pairs with a separate seed and 0, 5 or 20 % of false negatives.
`nsbench recommend` reads that file and nothing else, with a plan that does not depend on the speed
of the machine; `tools.exhaustive` trains all that it could have recommended. The closed form wins
on much of such data, so a second comparison leaves out what takes no steps: the best trained
recipe of the decision against the best trained one of the matrix. A run that was stopped goes on;
every finished draw is printed again.
"""

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from nsbench.analysis.recommend.arms import arm_of
from nsbench.analysis.recommend.given import RecommendGiven
from nsbench.analysis.recommend.plan import PLAN, SHAPES
from nsbench.analysis.recommend.recommendation import prepared, recommended
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.records import read_json
from tools.audit_coverage import RATES
from tools.exhaustive import SEEDS, Compared, compare

MINUTES = 600.0
"""More than any machine needs, so that no clock changes a plan."""
SHAPE = replace(SHAPES[1], curves=False)
"""Width of the race."""


def write_pairs(path: Path, *, rows: int, rate: float, seed: int) -> None:
    """Write planted pairs as a CSV.

    Args:
        path: The file.
        rows: Pairs.
        rate: Share of false negatives among random candidates.
        seed: Of the data.
    """
    data = datasets.make("planted", rows=rows, false_negative_rate=rate, seed=seed)()
    pairs = zip(data.anchor, data.positive, strict=True)
    lines = [f'"{data.texts[a]}","{data.texts[p]}"\n' for a, p in pairs]
    write_atomically(path, "anchor,positive\n" + "".join(lines))


def draw(
    folder: Path, *, rows: int, rate: float, seed: int, steps: int, seeds: int
) -> dict[str, Any]:
    """Recommend for one data set, compare with everything, and return a row of the table.

    Args:
        folder: Of all draws.
        rows: Pairs of the data set.
        rate: Share of false negatives that is planted.
        seed: Of the data set.
        steps: Of a full training.
        seeds: Trainings of every recipe of the matrix.
    """
    name = f"planted-{round(100 * rate)}-{seed}"
    path = folder / f"{name}.csv"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_pairs(path, rows=rows, rate=rate, seed=seed)
    asked = {"data": str(path), "to": folder / name, "model": "words", "minutes": MINUTES}
    given = RecommendGiven.model_validate(asked)
    plan = prepared(given).plan
    if plan is None:
        raise SystemExit(f"{path} is too little to tell")
    plan = replace(plan, shape=SHAPE, arms=plan.arms[: SHAPE.arms], steps=steps)
    plan.write(folder / name / PLAN)
    told = recommended(given)
    methods = read_json(told.folder / "recommendation.json")["methods"]
    trained = [arm.name for arm in (arm_of(m["recipe"]) for m in methods) if arm.trains]
    every = compare(told.folder, SEEDS[:seeds])
    return {
        "false_negatives": rate,
        "draw": seed,
        "outcome": told.outcome,
        "recipes": len(every.arms),
        "steps": every.steps,
        "seeds": seeds,
        **_columns("", every),
        **_columns("trained_", every.trained(trained[0])),
    }


def _columns(prefix: str, found: Compared) -> dict[str, Any]:
    means, chosen, best = found.means, found.chosen, found.best
    columns = {
        "recommended": found.arms[chosen].name,
        "score": f"{means[chosen]:.2f}",
        "best": found.arms[best].name,
        "best_score": f"{means[best]:.2f}",
        "behind": f"{found.behind:.2f}",
        "worse": found.worse,
        "near": found.near,
    }
    return {prefix + name: value for name, value in columns.items()}


def main() -> None:
    """Print a row for every draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=4, help="of each rate")
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), choices=range(2, len(SEEDS) + 1))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(given.draws):
        for rate in RATES:
            at = {"rows": given.rows, "steps": given.steps, "seeds": given.seeds}
            rows.append(draw(given.folder, rate=rate, seed=seed, **at))
            if len(rows) == 1:
                writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
                writer.writeheader()
            writer.writerow(rows[-1])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
