"""The decision: fresh seeds, the locked part, and the verdicts of the leaderboard."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from nsbench.analysis.recommend.arms import CLOSED_FORM, IN_BATCH, UNTRAINED, Arm
from nsbench.analysis.recommend.cells import DECISION, TEST, Doubles, Ended, Trainings
from nsbench.analysis.recommend.plan import FRESH_SEEDS, LEAST_SEEDS, Plan
from nsbench.analysis.recommend.race import Say, slowness
from nsbench.analysis.statistics.verdicts import BETTER, MARGIN, judge
from nsbench.benchmarks.seeds import seed_for

LEARNED, NOTHING, TOO_LITTLE = "learned", "nothing can be learned", "too little to tell"
UNDECIDED = "undecided"
POWER = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
LEAST_QUERIES = 30
"""Queries from which the spread of differences is read; fewer count as `SPREAD` at least."""
SPREAD = 30.0
LEAST_LOCKED = 8
"""Queries of the locked part from which its share of the rows is read, and not the planned one."""
_DRAWS = 2000
_SLACK = 1.0  # points: another library's training and rounding


@dataclass(frozen=True)
class Final:
    """A method in the decision.

    Attributes:
        arm: The recipe.
        scores: nDCG@10 on the locked part by seed, in points.
        to_baseline: Difference to in_batch, and half its simultaneous interval.
        verdict: Against in_batch.
        to_untrained: The same against no training.
        learned: Verdict against no training.
        passes: Encoder passes of one training.
        further: Mean scores of further tasks on the locked part, in points.
    """

    arm: Arm
    scores: tuple[float, ...]
    to_baseline: tuple[float, float]
    verdict: str
    to_untrained: tuple[float, float]
    learned: str
    passes: int
    further: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.scores))

    def plain(self) -> dict[str, Any]:
        """As plain data; what is missing is ``None``."""

        def number(value: float) -> float | None:
            return round(float(value), 4) if math.isfinite(value) else None

        further = {name: number(value) for name, value in self.further.items()}
        return {
            "recipe": asdict(self.arm),
            "scores": [number(s) for s in self.scores],
            "mean": number(self.mean),
            "to_in_batch": [number(v) for v in self.to_baseline],
            "verdict": self.verdict,
            "to_no_training": [number(v) for v in self.to_untrained],
            "against_no_training": self.learned,
            "encoder_passes": self.passes,
            **({"further": further} if further else {}),
        }


@dataclass(frozen=True)
class Decision:
    """The recommended method, with the reasons.

    Attributes:
        outcome: `LEARNED` or `NOTHING`.
        chosen: The recommended method: of those that are better than in_batch the best, in_batch
            where there is none; one with a higher mean if that is by over the margin, or cheaper.
        finals: All methods, the best first.
        by_queries: Interval of chosen less in_batch when other queries are drawn, in points.
        promise: Mean of the chosen one's score, and the interval for one more training.
        queries: Queries of the locked part.
        seeds: The fresh seeds.
    """

    outcome: str
    chosen: Final
    finals: tuple[Final, ...]
    by_queries: tuple[float, float]
    promise: tuple[float, float, float]
    queries: int
    seeds: tuple[int, ...]

    def sentence(self) -> str:
        """The recommendation in one sentence."""
        name = self.chosen.arm.name
        base = next(f for f in self.finals if f.arm.sampler == IN_BATCH.sampler)
        if self.outcome == NOTHING:
            return (
                "Nothing here can be learned: no recipe is significantly better than the encoder "
                "without any training, by seeds and by queries."
            )
        if self.chosen.verdict != BETTER and base.learned != BETTER:
            return f"Use {name}: in_batch is not significantly better than no training here."
        if self.chosen.arm.sampler == IN_BATCH.sampler:
            return f"Nothing beats in_batch here by {MARGIN:g} points; use {name}."
        gap, half = self.chosen.to_baseline
        over = f"{gap:+.2f} points over in_batch [{gap - half:.2f}, {gap + half:.2f}]"
        if self.chosen.verdict == BETTER:
            return f"Use {name}: {over}."
        return f"Use {name}: {over}. That it is better is the best guess, and not certain."


def decide(
    trainings: Trainings, plan: Plan, path: Path, finalists: Sequence[Arm], say: Say
) -> tuple[Decision | None, Plan]:
    """Train the finalists with fresh seeds, and judge them on the locked part.

    All are trained with one seed before the next, so that time can run out after any seed. With
    fewer than `LEAST_SEEDS` nothing is decided. Where time ran out, the number of seeds is written
    into the plan's file.
    """
    base = next((a for a in finalists if a.sampler == IN_BATCH.sampler), IN_BATCH)
    arms = {a.name: a for a in (UNTRAINED, base, CLOSED_FORM, *finalists)}
    ended: dict[str, list[Ended]] = {name: [] for name in arms}
    varies = trainings.setting.varies
    for number, seed in enumerate(FRESH_SEEDS[: plan.fresh]):
        own = [arms[name] for name in ended if number == 0 or varies(arms[name])]
        need = slowness(trainings, plan) * plan.seconds(sum(arm.trains for arm in own))
        need = need if number >= LEAST_SEEDS else 0.0
        if not _with_seed(trainings, plan, own, seed=seed, need=need, ended=ended, say=say):
            say(f"the decision ends after {number} seeds, for the time is used up")
            plan = replace(plan, fresh=number).write(path)
            break
    seeds = FRESH_SEEDS[: plan.fresh]
    for seed in FRESH_SEEDS[len(seeds) : len(seeds) + 1]:  # those before time ran out count as cost
        for arm in arms.values():
            given: Any = {"steps": plan.steps, "learning_rate": plan.learning_rate, "seeds": [seed]}
            if trainings.done(DECISION, arm, **given):
                trainings.run(DECISION, arm, **given)
    if len(seeds) < LEAST_SEEDS:
        return None, plan
    found = [(arms[name], list(own)) for name, own in ended.items()]
    each = [(arm, own[: len(seeds)] if varies(arm) else own * len(seeds)) for arm, own in found]
    return _judged(each, seeds), plan


def _with_seed(
    trainings: Trainings,
    plan: Plan,
    arms: Sequence[Arm],
    *,
    seed: int,
    need: float,
    ended: dict[str, list[Ended]],
    say: Say,
) -> bool:
    """Train all with one seed; False if fewer than the needed seconds are left, or none later."""
    for arm in arms:
        given: Any = {"steps": plan.steps, "learning_rate": plan.learning_rate, "seeds": [seed]}
        if trainings.left() < need and not trainings.done(DECISION, arm, **given):
            return False
        need = 0.0
        (last,) = trainings.run(DECISION, arm, **given)
        if last.status == "done":
            ended[arm.name].append(last)
            say(f"decision, seed {seed}: {arm.name}: {last.score:.2f}")
        else:
            del ended[arm.name]
            say(f"decision: {arm.name} is left out: {last.reason}")
    return True


def _judged(ended: Sequence[tuple[Arm, Sequence[Ended]]], seeds: tuple[int, ...]) -> Decision:
    names = [arm.sampler for arm, _ in ended]
    means = np.array([[e.score for e in found] for _, found in ended])
    base, none = names.index(IN_BATCH.sampler), names.index(UNTRAINED.sampler)
    against = [judge(means, [at] * len(names), margin=MARGIN) for at in (base, none)]
    told = [v.verdict() for v in against]
    finals = [
        Final(
            arm,
            tuple(float(s) for s in means[i]),
            (float(against[0].gap[i]), float(against[0].gap_half[i])),
            told[0][i],
            (float(against[1].gap[i]), float(against[1].gap_half[i])),
            told[1][i],
            int(found[0].cost.get("passes", 0)),
            {n: float(np.mean([e.further[n] for e in found])) for n in found[0].further},
        )
        for i, (arm, found) in enumerate(ended)
    ]
    # What takes no step has no spread over seeds: queries must agree that something was learned.
    untrained = ended[none][1]
    learned = [
        i
        for i, f in enumerate(finals)
        if f.learned == BETTER
        and by_queries(ended[i][1], untrained, alpha=0.05 / len(finals))[0] > 0
    ]
    chosen = _chosen(finals, learned, base)
    queries = len(ended[chosen][1][0].by_query())
    spread = by_queries(ended[chosen][1], ended[base][1])
    return Decision(
        LEARNED if learned else NOTHING,
        finals[chosen],
        tuple(sorted(finals, key=lambda f: -f.mean)),
        spread,
        _promise(finals[chosen].scores),
        queries,
        seeds,
    )


def _chosen(finals: Sequence[Final], learned: Sequence[int], base: int) -> int:
    """Return the place of the best proven method, or of one that is the better guess.

    Proven is what is better than in_batch; in_batch itself if there is none and it learned. A
    better guess has the highest mean, and is ahead of that by more than the margin or cheaper.
    """

    def mean_of(place: int) -> float:
        return finals[place].mean

    if not learned:
        return base
    top = max(learned, key=mean_of)
    better = [i for i in learned if finals[i].verdict == BETTER]
    if not better and base not in learned:
        return top
    proven = max(better or [base], key=mean_of)
    cheaper = finals[top].passes < finals[proven].passes
    return top if cheaper or mean_of(top) - mean_of(proven) > MARGIN else proven


def by_queries(
    ours: Sequence[Ended], base: Sequence[Ended], *, alpha: float = 0.05
) -> tuple[float, float]:
    """Interval of the mean difference, in points, when other queries of the kind are drawn.

    It misses the truth with the chance ``alpha``.

    Source: the bootstrap over queries of Smucker, Allan, Carterette 2007, A Comparison of
    Statistical Significance Tests for Information Retrieval Evaluation.
    https://doi.org/10.1145/1321440.1321528
    """
    gaps = query_gaps(ours, base)
    rng = np.random.default_rng(seed_for(0, "queries"))
    drawn = gaps[rng.integers(0, len(gaps), size=(_DRAWS, len(gaps)))].mean(axis=1)
    low, high = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def query_gaps(ours: Sequence[Ended], base: Sequence[Ended]) -> Doubles:
    """Difference of every query in points, mean over seeds."""
    tables = [[e.by_query() for e in found] for found in (ours, base)]
    names = sorted(tables[0][0])
    left, right = (
        np.array([[table[n] for n in names] for table in found]).mean(axis=0) for found in tables
    )
    found: Doubles = 100 * (left - right)
    return found


def _promise(scores: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the 95 % interval of one more training with another seed."""
    n, mean_ = len(scores), float(np.mean(scores))
    half = float(stats.t.ppf(0.975, n - 1) * np.std(scores, ddof=1) * math.sqrt(1 + 1 / n))
    return mean_, mean_ - half - _SLACK, mean_ + half + _SLACK


def too_little(gaps: Doubles, locked: int, rows: int, *, wanted: float) -> tuple[float, int]:
    """Smallest difference in points that the locked part can show, and the pairs that would do.

    Args:
        gaps: Differences of dev queries between two methods, in points.
        locked: Queries of the locked part.
        rows: Pairs of the data.
        wanted: Difference in points that it should show.

    Returns:
        The difference, with 80 % power at 5 %; and the pairs after which it is the wanted one.
    """
    from nsbench.benchmarks.audit.groups import PARTS, SHARES

    spread = float(np.std(gaps, ddof=1)) if len(gaps) > 1 else SPREAD
    if len(gaps) < LEAST_QUERIES:
        spread = max(spread, SPREAD)
    least = POWER * spread / math.sqrt(max(1, locked))
    queries = (POWER * spread / wanted) ** 2
    share = locked / rows if locked >= LEAST_LOCKED else SHARES[PARTS.index(TEST)]
    return float(least), int(math.ceil(queries / share / 10) * 10)
