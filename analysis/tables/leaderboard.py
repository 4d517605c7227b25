"""Leaderboards: ranks, intervals and paired differences of every method, with their basis.

Scores are kept as stored in ``scores.csv``; the leaderboards show points, which are 100 times the
score. A mean is over the same tasks for every method of a pool, or it is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.leakage import LEAKS, leakage_table
from nsbench.analysis.read.load import Results, unchosen
from nsbench.analysis.statistics import stats
from nsbench.analysis.statistics.simultaneous import Critical
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.statistics.verdicts import LEAST_SEEDS, MARGIN
from nsbench.analysis.tables.axes import axis_table
from nsbench.analysis.tables.fixed import AS_THEY_ARE, add_item_intervals
from nsbench.analysis.tables.judging import (
    PAIRED,
    POWER,
    add_alarms,
    add_verdicts,
    alarms_by_key,
    seed_notes,
)
from nsbench.analysis.tables.machines import SECONDS
from nsbench.analysis.tables.pools import (
    COSTS,
    METHOD_KEYS,
    POOL_KEYS,
    Pool,
    marginal,
    pools,
)
from nsbench.analysis.tables.ranks import ALPHA, borda, mean_of_seeds, over_seeds_and_tasks
from nsbench.analysis.tables.study import study_findings
from nsbench.analysis.tables.text import counted
from nsbench.samplers import suggest

POINTS = 100.0
"""Leaderboards show scores times this."""
_BEFORE = ("rank", "rank_lo", "rank_hi", "group", "sampler", "augmentation", "objective")
_AFTER = (
    *("encoder", "data", "n_seeds", "n_tasks", "mean", "std", "ci_low", "ci_high", "iqm"),
    *("difference", "difference_low", "difference_high", "p_adjusted"),
    *("verdict", "more_seeds", "alarms", "mean_ranked"),
    *("n_failed", "n_missing", "n_skipped", "borda", "rank_borda"),
    *("improvement", "tasks_low", "tasks_high"),
)
_OPTIONAL = ("candidates", "regime", "steps", "batch_size", "budget")

OURS = frozenset(
    (*_BEFORE, *_OPTIONAL, *_AFTER, *COSTS, *SECONDS, *LEAKS, *POOL_KEYS, *METHOD_KEYS, "pool")
) | frozenset(
    (
        *("untrained", "sampler_name", "key", "seed", "score", "arm", "median", "method", "kind"),
        *("task", "p", "seeds", "failed", "missing", "skipped", "encodes", "seconds", "cells"),
        "status",
    )
)
"""Column names of our tables, raw or as they are shown; a task's column is never called so."""
_OF_A_STUDY = (
    "the table averages tasks of all families and compares within one objective; the study's "
    "verdicts are those of the findings and of tables/tuned.csv"
)
TASK = "task:"
"""Opens the column of a task whose name is one of `OURS`."""


def task_column(task: str) -> str:
    """Return the column of a task: its name, with `TASK` in front where it could be ours.

    Two tasks never share a column, for a name that begins with `TASK` gets another one.
    """
    return f"{TASK}{task}" if task in OURS or task.startswith(TASK) else task


@dataclass(frozen=True)
class PoolStatistics:
    """Basis of the numbers of one pool.

    Attributes:
        title: What its methods share.
        baseline: Name that differences are to.
        n_methods: Methods with a mean.
        n_compared: Methods with an interval against their baseline.
        n_seeds: Seeds of the scarcest comparison.
        n_tasks: Tasks that every mean is over.
        detectable: Smallest true difference in points that is found with `POWER`, or NaN.
        margin: Difference in points that does not matter.
        notes: What was left out or deserves care.
        critical: Normal scores behind the intervals of the rows; ``None`` without any.
        critical_samplers: The same of the means over augmentations.
        study: Findings of a tuning study, which take the place of those of the rows.
    """

    title: str
    baseline: str
    n_methods: int
    n_compared: int
    n_seeds: int
    n_tasks: int
    detectable: float
    margin: float
    notes: tuple[str, ...]
    critical: Critical | None = None
    critical_samplers: Critical | None = None
    study: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leaderboard:
    """The tables and the notes under them.

    Attributes:
        rows: One row per sampler and augmentation (and all else that varies).
        samplers: One row per sampler, over the augmentations that all samplers have.
        axes: One row per value of every other axis that varies, see `axis_table`.
        tasks: Names of the task columns, in points; see `task_column`.
        pools: One per pool, in the order of the rows.
        notes: Conflicts and everything that was left out.
        leakage: Overlap of training text and tasks, see `leakage_table`.
    """

    rows: pd.DataFrame
    samplers: pd.DataFrame
    axes: pd.DataFrame
    tasks: tuple[str, ...]
    pools: tuple[PoolStatistics, ...]
    notes: tuple[str, ...]
    leakage: pd.DataFrame


def make_leaderboard(
    results: Results,
    *,
    baseline: str = "in_batch",
    margin: float = MARGIN,
    every: Sequence[Pool] | None = None,
) -> Leaderboard:
    """Compare all methods of the results.

    Args:
        results: As loaded.
        baseline: Sampler, by name or label, that differences are to; compared within the same
            augmentation, by seed. An untrained baseline is compared with every augmentation.
        margin: Difference in points that does not matter, above 0.
        every: The pools of the results; those of equal steps without it, see `pools`.

    Raises:
        ValueError: If no cell has this sampler, an option is unknown, or the margin is not above 0.
    """
    if not 0 < margin < np.inf:
        raise ValueError(f"margin must be a number of points above 0, got {margin}")
    _check_baseline(results, baseline)
    every = pools(results) if every is None else every
    alarms = alarms_by_key(results)
    rated = [_rate(pool, baseline, margin, alarms, results) for pool in every]
    averaged = [_rate(marginal(pool), baseline, margin, alarms, results) for pool in every]
    tasks = tuple(task_column(t) for t in sorted({t for pool in every for t in pool.tasks}))
    axes, apart = axis_table(every, margin, alarms)
    varying = [c for c in _OPTIONAL if _varies(every, c)]
    return Leaderboard(
        rows=_table([t for t, _ in rated], tasks, varying),
        samplers=_table([t for t, _ in averaged], tasks, varying),
        axes=axes,
        tasks=tasks,
        pools=tuple(
            _joined(s, m, told)
            for (_, s), (_, m), told in zip(
                rated, averaged, study_findings(results, every), strict=True
            )
        ),
        notes=(*results.conflicts, *results.left_out, *apart),
        leakage=leakage_table(results.loaded),
    )


def words(statistics: PoolStatistics) -> str:
    """Return the statistics of one pool in plain sentences."""
    s = statistics
    sentences = [
        f"{counted(s.n_methods, 'method')} on {counted(s.n_tasks, 'task')}.",
        "Means and their intervals are over seeds, for these tasks: Student's 95 % interval.",
        f"Differences to {s.baseline} are paired by seed within the same augmentation.",
    ]
    if s.n_compared:
        sentences += [
            "Their variances are moderated over all methods, and their intervals, the "
            f"{counted(s.n_compared, 'difference')} to {s.baseline} and all other pairs together, "
            f"all hold with {1 - ALPHA:.0%} confidence.",
            f"A difference within the margin of {s.margin:g} points does not matter: a method is "
            "equivalent if its whole interval lies within the margin, otherwise better or worse if "
            "the interval leaves out 0, otherwise undecided.",
            "Two methods share a letter exactly if they are not significantly different. Letters, "
            "rank intervals, p and verdicts come from the same intervals.",
        ]
    if np.isfinite(s.detectable):
        sentences.append(
            f"With {s.n_seeds} seeds, a typical difference under {s.detectable:.2g} points would "
            f"have been missed more often than one time in {1 / (1 - POWER):.0f}."
        )
    sentences.append(
        f"With fewer than {LEAST_SEEDS} seeds in common there is no interval, no letter and no "
        f"verdict; the margin is {s.margin:g} points."
        if not s.n_compared
        else f"With fewer than {LEAST_SEEDS} seeds in common there is no verdict and no letter."
    )
    return " ".join(sentences)


def _check_baseline(results: Results, baseline: str) -> None:
    known = sorted({*results.cells["sampler"], *results.cells["sampler_name"]})
    if known and baseline not in known:
        studies = [f" {told}." for root in results.roots if (told := unchosen(root))]
        raise ValueError(
            f"no cell has the sampler {baseline!r}, so it cannot be the baseline. "
            f"{suggest(baseline, known)}{''.join(studies)}"
        )


def _rate(
    pool: Pool,
    baseline: str,
    margin: float,
    alarms: Mapping[str, tuple[str, ...]],
    results: Results,
) -> tuple[pd.DataFrame, PoolStatistics]:
    """Return the rows of one pool and their basis."""
    scores = POINTS * pool.scores
    means = stats.seed_means(scores)  # (M, S)
    table = pd.DataFrame([{"pool": pool.title, **pool.shared, **m} for m in pool.methods])
    interval = stats.mean_interval(scores)
    table["n_seeds"] = (~np.isnan(means)).sum(axis=1)
    table["n_tasks"] = (~np.isnan(scores)).any(axis=1).sum(axis=1)
    table["mean"], table["std"] = interval.estimate, stats.spread(means)
    table["ci_low"], table["ci_high"], table["iqm"] = interval.low, interval.high, stats.iqm(scores)
    reference = baselines(pool, baseline)
    basis = add_verdicts(table, means, reference, margin)
    table["improvement"] = _improvement(scores, reference)
    table[["tasks_low", "tasks_high"]] = over_seeds_and_tasks(scores)
    table["borda"], table["rank_borda"] = borda(scores)
    _counts(table, pool)
    add_alarms(table, pool, alarms)
    _costs_and_leaks(table, pool)
    of_tasks = {
        task_column(task): mean_of_seeds(scores[:, :, i]) for i, task in enumerate(pool.tasks)
    }
    table = pd.concat([table, pd.DataFrame(of_tasks, index=table.index)], axis=1)
    empty = table[table["mean"].isna()]
    ranks = set(pool.cells["method"][pool.cells["unranked"]])
    why = ("no seed has a score on every task", "it ranks documents, which is not all of the tasks")
    notes = [
        f"no mean for {sampler} x {augmentation}: {why[m in ranks]}"
        for m, sampler, augmentation in zip(
            empty.index, empty["sampler"], empty["augmentation"], strict=True
        )
    ]
    notes += seed_notes(pool, table, means, reference)
    notes += add_item_intervals(table, pool, results)
    if len(table) > PAIRED:
        notes.append(
            f"rank intervals and letters are left out: they take all pairs of methods, and these "
            f"are more than {PAIRED:,}"
        )
    statistics = PoolStatistics(
        title=pool.title,
        baseline=baseline,
        n_methods=int(table["mean"].notna().sum()),
        n_compared=basis.n_compared,
        n_seeds=basis.n_seeds,
        n_tasks=len(pool.tasks),
        detectable=basis.detectable,
        margin=margin,
        notes=(*pool.notes, *notes),
        critical=basis.critical,
    )
    return table.sort_values(["rank", "sampler", "augmentation"], kind="stable"), statistics


def baselines(pool: Pool, baseline: str) -> list[int | None]:
    """Return the index of each method's baseline: same augmentation, then the most alike.

    Alike are those of the same kind of objective, then the same settings of it, then the same for
    the candidates, then the same budget. Of several that are equally alike, such as a baseline
    under many objectives for a method without one, the one with the highest mean: what beats
    that one beats them all.
    """
    free: list[int] = []
    by_augmentation: dict[Any, list[int]] = {}
    for index, method in enumerate(pool.methods):
        if baseline in (method["sampler"], method["sampler_name"]):
            alike = [free] if method["untrained"] else []
            for group in (*alike, by_augmentation.setdefault(method["augmentation"], [])):
                group.append(index)
    means = mean_of_seeds(stats.seed_means(pool.scores))
    strength = np.where(np.isnan(means), -np.inf, means)
    return [
        _most_alike(pool, m, sorted({*free, *by_augmentation.get(m["augmentation"], ())}), strength)
        for m in pool.methods
    ]


def _most_alike(
    pool: Pool, method: Mapping[str, Any], fitting: Sequence[int], strength: Array
) -> int | None:
    def alike(index: int) -> tuple[float, ...]:
        other = pool.methods[index]
        same = [
            of(other[axis]) == of(method[axis])
            for axis in ("objective", "candidates")
            for of in (_kind, str)
        ]
        return (other == method, *same, other["budget"] == method["budget"], strength[index])

    return max(fitting, key=alike, default=None)


def _kind(label: str) -> str:
    """A component without its settings."""
    return label.partition("(")[0]


def _improvement(scores: Array, reference: Sequence[int | None]) -> Array:
    """Return the chance that each method beats its baseline, (M,); NaN for the baseline itself."""
    out = np.full(len(scores), np.nan)
    for base in {j for j in reference if j is not None}:
        rows = [i for i, j in enumerate(reference) if j == base != i]
        out[rows] = stats.probability_of_improvement(scores[rows], scores[base])
    return out


def _counts(table: pd.DataFrame, pool: Pool) -> None:
    """Fill in how many cells failed (or lack a finite score), are missing, or were skipped."""
    method, status = pool.cells["method"].to_numpy(), pool.cells["status"]
    partly = (status == "done") & ~pool.cells["complete"] & ~pool.cells["unranked"]
    asked = pool.cells["encoder"] == AS_THEY_ARE  # each on the tests it was given: none failed
    failed = (status == "failed") | (partly & ~asked)
    missing = status.isin(["pending", "running"]) | (partly & asked)
    skipped = status.eq("skipped")
    for name, found in (("failed", failed), ("missing", missing), ("skipped", skipped)):
        table[f"n_{name}"] = np.bincount(method[found.to_numpy(dtype=bool)], minlength=len(table))


def _costs_and_leaks(table: pd.DataFrame, pool: Pool) -> None:
    """Fill in mean cost per finished cell, and the largest leak; missing if there is none."""
    done = (pool.cells["status"] == "done").to_numpy()
    method = pool.cells["method"].to_numpy()[done]
    known = [name for name in (*COSTS, *SECONDS) if name in pool.cells]
    grouped = pool.cells.loc[done, known].groupby(method)
    for name in (*COSTS, *SECONDS):  # one by one: sums of all at once differ in the last bit
        table[name] = np.nan
        if name in known:
            table[name] = grouped[name].mean().reindex(range(len(table))).to_numpy()
    for name in LEAKS:
        found = pool.cells[name][done] if name in pool.cells else pd.Series(dtype=float)
        there = found.notna().to_numpy()
        largest = np.full(len(table), -np.inf)
        np.maximum.at(largest, method[there], found[there].to_numpy(dtype=float))
        kind = bool if name == "transductive" else float
        table[name] = [kind(v) if np.isfinite(v) else None for v in largest]


def _varies(every: Sequence[Pool], column: str) -> bool:
    """Return whether trained methods differ in a column that is otherwise left out."""
    if column in POOL_KEYS:
        return len({str(p.shared[column]) for p in every}) > 1
    return len({m[column] for p in every for m in p.methods if not m["untrained"]}) > 1


def _table(
    parts: Sequence[pd.DataFrame], tasks: Sequence[str], varying: Sequence[str]
) -> pd.DataFrame:
    columns = [*_BEFORE, *varying, *_AFTER, *tasks, *COSTS, *SECONDS, *LEAKS, "pool"]
    if not parts:
        return pd.DataFrame(columns=columns)
    whole = pd.concat(parts, ignore_index=True).reindex(columns=columns)
    costs = [c for c in (*COSTS, *SECONDS, *LEAKS) if whole[c].isna().all()]
    return whole.drop(columns=costs)


def _joined(
    statistics: PoolStatistics, averaged: PoolStatistics, study: tuple[str, ...]
) -> PoolStatistics:
    first = (_OF_A_STUDY,) if study else ()
    notes = tuple(dict.fromkeys((*first, *statistics.notes, *averaged.notes)))
    return replace(statistics, notes=notes, critical_samplers=averaged.critical, study=study)
