"""Calibration of the reported statistics on simulated matrices: ``python -m tools.calibration``.

A matrix is (methods, seeds, tasks). Its noise has the parts that real ones have: seeds that are
good or bad for every method (shared initial weights and batches), a checkpoint's own luck on all
tasks, and each score's luck, louder on some tasks; methods differ in how noisy they are.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from nsbench.analysis.statistics import comparisons, stats
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.statistics.verdicts import EQUIVALENT, judge, verdict_of
from nsbench.analysis.tables.judging import detectable as smallest_found
from nsbench.analysis.tables.text import markdown_lines

EFFECT = 0.8
"""Points by which the lone different method differs."""


@dataclass(frozen=True)
class Design:
    """A matrix to simulate; standard deviations in points.

    Attributes:
        methods: M, the first is the baseline.
        seeds: S.
        tasks: T.
        shared: Of what one seed does to every method.
        checkpoint: Of what one seed does to one method on all tasks.
        score: Of one score; tasks range from half to one and a half of it.
        unequal: Standard deviation of the logarithm of the methods' noise.
    """

    methods: int = 7
    seeds: int = 5
    tasks: int = 7
    shared: float = 0.3
    checkpoint: float = 0.3
    score: float = 0.5
    unequal: float = 0.3


def simulate(design: Design, rng: np.random.Generator, effect: Array | None = None) -> Array:
    """Return one matrix, shape (M, S, T).

    Args:
        design: Its shape and noise.
        rng: Decides the noise.
        effect: True mean of each method, shape (M,); none differ without it.
    """
    m, s, t = design.methods, design.seeds, design.tasks
    loud = np.exp(design.unequal * rng.standard_normal(m))[:, None, None]
    level = rng.uniform(50, 80, size=t)
    shared = design.shared * rng.standard_normal((1, s, 1))
    checkpoint = design.checkpoint * loud * rng.standard_normal((m, s, 1))
    score = design.score * loud * np.linspace(0.5, 1.5, t) * rng.standard_normal((m, s, t))
    truth = np.zeros(m) if effect is None else effect
    return np.asarray(level + truth[:, None, None] + shared + checkpoint + score)


@dataclass(frozen=True)
class Judged:
    """Verdicts on one matrix without any true difference, and on one with a difference.

    Attributes:
        baseline: Any method said to differ from the baseline.
        pairs: Any pair, of all, said to differ: some interval misses the truth.
        uncorrected: Any method, by Student's paired t without a correction.
        single: Share of the intervals to the baseline that hold the truth.
        edge: Any method said to be equivalent, all of them being off by the margin.
        found: Whether a lone difference was found.
        found_before: The same by Student's paired t, corrected by Holm.
    """

    baseline: bool
    pairs: bool
    uncorrected: bool
    single: float
    edge: bool
    found: bool
    found_before: bool


def judged(design: Design, rng: np.random.Generator) -> Judged:
    """Judge one matrix, and the same noise with a lone difference of `EFFECT`."""
    means = stats.seed_means(simulate(design, rng))
    verdicts = judge(means, [0] * len(means))
    held = ~verdicts.different[1:, 0]
    raw = comparisons.paired(means[1:], means[:1]).p
    lone = means.copy()
    lone[1] += EFFECT
    before = comparisons.holm(comparisons.paired(lone[1:], lone[:1]).p)
    gap, half = verdicts.gap[1:], verdicts.gap_half[1:]
    wide = 10.0 * float(half.max())  # a margin that any interval fits in, and all are off by it
    return Judged(
        baseline=bool(verdicts.different[1:, 0].any()),
        pairs=bool(verdicts.different.any()),
        uncorrected=bool((raw <= 0.05).any()),
        single=float(held.mean()),
        edge=any(
            verdict_of(d + wide, h, wide) == EQUIVALENT for d, h in zip(gap, half, strict=True)
        ),
        found=bool(verdicts.difference[1, 0] + EFFECT > verdicts.half[1, 0]),
        found_before=bool(before[0] <= 0.05),
    )


def verdict_shares(design: Design, *, repetitions: int, seed: int) -> dict[str, float]:
    """Shares of matrices in which verdicts err, and in which they find what is there.

    Returns:
        ``false, baseline`` and ``false, any``: some claim where nothing differs, against the
        baseline or of any kind; ``false, uncorrected``: for comparison; ``covers, all at once``:
        matrices whose intervals all hold the truth, which is what 95 % is promised of; ``covers,
        one alone``: intervals to the baseline that do, above 95 % by construction;
        ``equivalent at the margin``: some method declared equivalent though off by the margin;
        ``power`` and ``power, Holm``: a lone difference of `EFFECT` points found, by these verdicts
        and by the paired t with Holm's correction.
    """
    rng = np.random.default_rng(seed)
    all_ = [judged(design, rng) for _ in range(repetitions)]

    def share(name: str) -> float:
        return float(np.mean([getattr(j, name) for j in all_]))

    return {
        "false, baseline": share("baseline"),
        "false, any": share("pairs"),
        "false, uncorrected": share("uncorrected"),
        "covers, all at once": 1 - share("pairs"),
        "covers, one alone": share("single"),
        "equivalent at the margin": share("edge"),
        "power": share("found"),
        "power, Holm": share("found_before"),
    }


def coverage(design: Design, *, repetitions: int, seed: int) -> dict[str, float]:
    """Return the share of 95 % intervals of means that hold the truth, by kind of interval.

    The truth of an interval over seeds is the mean over these tasks; bootstrap intervals are of
    the paired difference to the baseline, drawn over seeds.
    """
    rng = np.random.default_rng(seed)
    effect = np.linspace(0, 1, design.methods)
    held: dict[str, list[bool]] = {k: [] for k in ("t", "expanded bootstrap", "plain bootstrap")}
    for _ in range(repetitions):
        scores = simulate(design, rng, effect)
        means = stats.seed_means(scores)
        result = comparisons.paired(means[1:], means[:1])
        held["t"] += list((result.low <= effect[1:]) & (effect[1:] <= result.high))
        gap = (scores[1:2] - scores[:1], effect[1])
        for name in ("expanded bootstrap", "plain bootstrap"):
            interval = stats.bootstrap_interval(
                gap[0], over="seeds", seed=0, resamples=300, expanded=name.startswith("expanded")
            )
            held[name].append(bool(interval.low[0] <= gap[1] <= interval.high[0]))
    return {k: float(np.mean(v)) for k, v in held.items()}


def detectable(design: Design, *, repetitions: int, seed: int) -> dict[str, float]:
    """Return the reported smallest detectable difference and the true one.

    Methods are equally noisy here, so that the truth has one value: the effect at which the lone
    different method is found in 80 % of matrices, by simulation.

    Returns:
        ``true``; ``reported``, its median over matrices; ``within_20``, the share of matrices
        whose report is within 20 % of the truth; ``within_20_unpooled``, the same for a report
        from the differences to the baseline alone.
    """
    rng = np.random.default_rng(seed)
    reference = [0] * design.methods
    reported: list[float] = []
    before: list[float] = []
    strengths: list[float] = []
    for _ in range(repetitions):
        means = stats.seed_means(simulate(design, rng))
        verdicts = judge(means, reference)
        reported.append(float(np.median(smallest_found(verdicts)[1:])))
        single = float(np.sqrt(np.mean(comparisons.paired(means[1:], means[:1]).spread ** 2)))
        quantile = scipy_stats.t.isf(0.05 / (design.methods - 1) / 2, design.seeds - 1)
        before.append((quantile + scipy_stats.norm.isf(0.2)) * single / np.sqrt(design.seeds))
        # Found exactly when the difference, noise and effect, exceeds half of its interval.
        strengths.append(float(verdicts.half[1, 0] - verdicts.difference[1, 0]))
    true = float(np.quantile(strengths, 0.8))
    return {
        "true": true,
        "reported": float(np.median(reported)),
        "within_20": _within(reported, true),
        "within_20_unpooled": _within(before, true),
    }


def _within(reported: list[float], true: float) -> float:
    """Share of the reports that are within 20 % of the truth."""
    return float((np.abs(np.array(reported) / true - 1) <= 0.2).mean())


DESIGNS = {
    "7 methods, 5 seeds": Design(),
    "equal noise": Design(unequal=0.0),
    "very unequal noise": Design(unequal=0.6),
    "3 seeds": Design(seeds=3),
    "10 seeds": Design(seeds=10),
    "20 methods": Design(methods=20),
}


def calibration(*, repetitions: int, seed: int, intervals: bool = False) -> list[str]:
    """Lines of a Markdown table: a column per design, a row per figure.

    Args:
        repetitions: Matrices of each design, and as many more for its detectable difference.
        seed: Decides all of them.
        intervals: Add the coverage of other intervals.
    """
    rows = []
    given: dict[str, int] = {"repetitions": repetitions, "seed": seed}
    found: dict[Design, dict[str, float]] = {}
    for name, design in DESIGNS.items():
        row = {"design": name} | verdict_shares(design, **given)
        alike = replace(design, unequal=0.0)  # several designs share one
        if alike not in found:
            found[alike] = detectable(alike, **given)
        row |= {f"detectable, {k}": v for k, v in found[alike].items()}
        if intervals:
            row |= {f"covers, {k}": v for k, v in coverage(design, **given).items()}
        rows.append(row)
    table = pd.DataFrame(rows).set_index("design").T
    lines = [[str(name), *(f"{v:.3f}" for v in row)] for name, row in table.iterrows()]
    return markdown_lines(("", *table.columns), lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how often verdicts, intervals and detectable differences hold, for six designs."""
    parser = argparse.ArgumentParser(prog="python -m tools.calibration", description=main.__doc__)
    parser.add_argument("--repetitions", type=int, default=1000, help="matrices of each design")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--intervals", action="store_true", help="add rows on other intervals")
    parser.add_argument("--into", type=Path, help="replace the table of this document")
    given = vars(parser.parse_args(arguments))
    if given["repetitions"] < 1:
        parser.error("--repetitions must be at least 1")
    into = given.pop("into")
    lines = calibration(**given)
    print("\n".join(lines))  # noqa: T201
    if into is not None:
        into.write_text(placed(into.read_text("utf-8"), [*said(**given), *lines]), "utf-8")


def said(*, repetitions: int, seed: int, intervals: bool) -> list[str]:
    """The command that a table comes from, as lines above it."""
    command = f"python -m tools.calibration --repetitions {repetitions} --seed {seed}"
    return [f"`{command}{' --intervals' if intervals else ''}` printed this table:", ""]


def placed(document: str, lines: Sequence[str]) -> str:
    """Return a document with other lines between its markers.

    Raises:
        ValueError: If it has no such place.
    """
    block = "\n".join(["<!-- table: calibration -->", *lines, "<!-- end -->"])
    pattern = r"<!-- table: calibration -->\n.*?<!-- end -->"
    text, count = re.subn(pattern, lambda _: block, document, flags=re.S)
    if not count:
        raise ValueError("the document has no <!-- table: calibration --> ... <!-- end -->")
    return text


if __name__ == "__main__":
    main()
