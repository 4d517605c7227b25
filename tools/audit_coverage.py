"""Count how often the audit's interval of false negatives covers the truth, on planted data.

    python -m tools.audit_coverage --draws 100 > table.md

Every draw is a data set with a separate seed; the truth is known by its meanings. Words alone are
compared, so that no weights are needed.
"""

import argparse

import numpy as np

from nsbench.benchmarks.audit.audit import by_labels, read_rows
from nsbench.benchmarks.audit.groups import groups_of, near_pairs
from nsbench.benchmarks.audit.swaps import NAMES, shares
from nsbench.benchmarks.data import datasets

RATES = (0.0, 0.05, 0.2)


def draw(rate: float, rows: int, seed: int) -> list[tuple[str, float, float, float]]:
    """Return name, truth and interval of every share of one data set.

    Args:
        rate: Share of false negatives that is planted.
        rows: Rows of the data set.
        seed: Of the data set and of the audit.
    """
    data = datasets.make("planted", rows=rows, false_negative_rate=rate, seed=seed)()
    read = read_rows(data, groups_of(data, near_pairs(data.texts)), None, seed=seed)
    truth = by_labels(data, read)
    return [(s.name, truth[s.name], s.low, s.high) for s in shares(read.folds, seed=seed)]


def table(draws: int, rows: int) -> str:
    """Return the table: planted rate, candidates, draws that cover the truth, mean interval."""
    lines = [
        f"{draws} draws of {rows} rows each.",
        "",
        "| planted | candidates | covered | truth, mean | at least, mean | at most, mean |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for rate in RATES:
        found = [draw(rate, rows, seed) for seed in range(draws)]
        for name in NAMES:
            own = np.array([row[1:] for one in found for row in one if row[0] == name])
            if not len(own):
                continue
            truth, low, high = own.T
            inside = int(((low <= truth + 5e-6) & (truth <= high + 5e-6)).sum())
            means = " | ".join(f"{x.mean():.2%}" for x in (truth, low, high))
            lines.append(f"| {rate:.0%} | {name} | {inside} of {len(own)} | {means} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--rows", type=int, default=600)
    given = parser.parse_args()
    print(table(given.draws, given.rows), end="")  # noqa: T201


if __name__ == "__main__":
    main()
