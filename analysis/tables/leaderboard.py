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
from nsbench.analysis.read.load import Results
from nsbench.analysis.read.names import did_you_mean
from nsbench.analysis.statistics import comparisons, stats
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.tables.pools import (
    COSTS,
    METHOD_KEYS,
    POOL_KEYS,
    SECONDS,
    Pool,
    marginal,
    pools,
)
from nsbench.analysis.tables.ranks import (
    ALPHA,
    PAIRED,
    add_ranks,
    borda,
    mean_of_seeds,
    over_seeds_and_tasks,
)

POINTS = 100.0
"""Leaderboards show scores times this."""
POWER = 0.8
AS_THEY_ARE = "models as they are"
"""Encoder of the rows that ``nsbench evaluate`` makes."""
_BEFORE = ("rank", "rank_lo", "rank_hi", "group", "sampler", "augmentation", "objective")
_AFTER = (
    *("encoder", "data", "n_seeds", "n_tasks", "mean", "std", "ci_low", "ci_high", "iqm"),
    *("difference", "difference_low", "difference_high", "p_holm"),
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
        n_compared: Size of Holm's family.
        n_seeds: Seeds of the scarcest comparison.
        n_tasks: Tasks that every mean is over.
        n_different: Methods that differ from the baseline.
        detectable: Smallest true difference in points that is found with `POWER`, or NaN.
        notes: What was left out or deserves care.
    """

    title: str
    baseline: str
    n_methods: int
    n_compared: int
    n_seeds: int
    n_tasks: int
    n_different: int
    detectable: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Leaderboard:
    """The tables and the notes under them.

    Attributes:
        rows: One row per sampler and augmentation (and all else that varies).
        samplers: One row per sampler, over the augmentations that all samplers have.
        tasks: Names of the task columns, in points; see `task_column`.
        pools: One per pool, in the order of the rows.
        notes: Conflicts and everything that was left out.
        leakage: Overlap of training text and tasks, see `leakage_table`.
    """

    rows: pd.DataFrame
    samplers: pd.DataFrame
    tasks: tuple[str, ...]
    pools: tuple[PoolStatistics, ...]
    notes: tuple[str, ...]
    leakage: pd.DataFrame


def make_leaderboard(
    results: Results,
    *,
    baseline: str = "in_batch",
    match: str = "steps",
    aggregate: str = "all",
    every: Sequence[Pool] | None = None,
) -> Leaderboard:
    """Compare all methods of the results.

    Args:
        results: As loaded.
        baseline: Sampler, by name or label, that differences are to; compared within the same
            augmentation, by seed. An untrained baseline is compared with every augmentation.
        match: The equal cost of compared methods, see `pools`.
        aggregate: How a year's STS sub-sets count, see `pools`.
        every: The pools, if they are known already.

    Raises:
        ValueError: If no cell has this sampler, or an option is unknown.
    """
    _check_baseline(results, baseline)
    every = pools(results, match=match, aggregate=aggregate) if every is None else every
    rated = [_rate(pool, baseline) for pool in every]
    averaged = [_rate(marginal(pool), baseline) for pool in every]
    tasks = tuple(task_column(t) for t in sorted({t for pool in every for t in pool.tasks}))
    varying = [c for c in _OPTIONAL if _varies(every, c)]
    return Leaderboard(
        rows=_table([t for t, _ in rated], tasks, varying),
        samplers=_table([t for t, _ in averaged], tasks, varying),
        tasks=tasks,
        pools=tuple(_with_notes(s, m) for (_, s), (_, m) in zip(rated, averaged, strict=True)),
        notes=(*results.conflicts, *results.left_out),
        leakage=leakage_table(results.loaded),
    )


def words(statistics: PoolStatistics) -> str:
    """Return the statistics of one pool in plain sentences."""
    s = statistics
    sentences = [
        f"{s.n_methods} methods on {s.n_tasks} tasks.",
        "Means and intervals are over seeds, for these tasks: Student's 95 % interval.",
        f"Differences to {s.baseline} are paired by seed within the same augmentation; p is the "
        f"paired t test's, corrected by Holm over {s.n_compared} comparisons.",
        f"{s.n_different} of them differ at {ALPHA:.0%}.",
    ]
    if np.isfinite(s.detectable):
        sentences.append(
            f"With {s.n_seeds} seeds, a lone difference under {s.detectable:.2g} points would "
            f"have been missed more often than one time in {1 / (1 - POWER):.0f}."
        )
    else:
        sentences.append("With fewer than two common seeds nothing can be told apart.")
    sentences.append(
        "Methods that share a letter cannot be told apart; letters go by neighbours in rank. Rank "
        "intervals and letters come from all pairs, corrected by Holm."
    )
    return " ".join(sentences)


def _check_baseline(results: Results, baseline: str) -> None:
    known = sorted({*results.cells["sampler"], *results.cells["sampler_name"]})
    if known and baseline not in known:
        raise ValueError(
            f"no cell has the sampler {baseline!r}, so it cannot be the baseline. "
            f"{did_you_mean(baseline, known)}"
        )


def _rate(pool: Pool, baseline: str) -> tuple[pd.DataFrame, PoolStatistics]:
    """Return the rows of one pool and their basis."""
    scores = POINTS * pool.scores
    means = stats.seed_means(scores)  # (M, S)
    table = pd.DataFrame([{"pool": pool.title, **pool.shared, **m} for m in pool.methods])
    interval = stats.mean_interval(scores)
    table["n_seeds"] = (~np.isnan(means)).sum(axis=1)
    table["n_tasks"] = (~np.isnan(scores)).any(axis=1).sum(axis=1)
    table["mean"], table["std"] = interval.estimate, stats.spread(means)
    table["ci_low"], table["ci_high"], table["iqm"] = interval.low, interval.high, stats.iqm(scores)
    reference = _baselines(pool, baseline)
    compared = _differences(table, means, reference)
    table["improvement"] = _improvement(scores, reference)
    table[["tasks_low", "tasks_high"]] = over_seeds_and_tasks(scores)
    add_ranks(table, means)
    table["borda"], table["rank_borda"] = borda(scores)
    _counts(table, pool)
    _costs_and_leaks(table, pool)
    of_tasks = {
        task_column(task): mean_of_seeds(scores[:, :, i]) for i, task in enumerate(pool.tasks)
    }
    table = pd.concat([table, pd.DataFrame(of_tasks, index=table.index)], axis=1)
    empty = table[table["mean"].isna()]
    notes = [
        f"no mean for {sampler} x {augmentation}: no seed has a score on every task"
        for sampler, augmentation in zip(empty["sampler"], empty["augmentation"], strict=True)
    ]
    if table["mean"].notna().sum() > PAIRED:
        notes.append(
            f"rank intervals and letters are left out: they take all pairs of methods, and these "
            f"are more than {PAIRED:,}"
        )
    rows = np.array([i for i, j in enumerate(reference) if j is not None and j != i], dtype=int)
    tested = rows[np.isfinite(compared.p[rows])]
    n = int(compared.n[tested].min()) if len(tested) else 0
    sd = _spread_of_differences(pool, means, reference, compared.spread[tested])
    statistics = PoolStatistics(
        title=pool.title,
        baseline=baseline,
        n_methods=int(table["mean"].notna().sum()),
        n_compared=len(tested),
        n_seeds=n,
        n_tasks=len(pool.tasks),
        n_different=int((table["p_holm"] <= ALPHA).sum()),
        detectable=comparisons.smallest_detectable(
            sd, n, comparisons=max(len(tested), 1), alpha=ALPHA, power=POWER
        ),
        notes=(*pool.notes, *notes),
    )
    return table.sort_values(["rank", "sampler", "augmentation"], kind="stable"), statistics


def _spread_of_differences(
    pool: Pool, means: Array, reference: Sequence[int | None], own: Array
) -> float:
    """Return the standard deviation over seeds of a difference to the baseline.

    Pooled over all pairs of trained methods that share a baseline; the untrained encoder has other
    noise: with it as the baseline, the mean of the tested differences' own (``own``) is taken.
    """
    variances, weights = [], []
    for base in sorted({j for j in reference if j is not None}):
        if pool.methods[base]["untrained"]:
            continue
        block = [
            i for i, j in enumerate(reference) if j == base and not pool.methods[i]["untrained"]
        ]
        sd = comparisons.pooled_spread(means[sorted({base, *block})])
        if np.isfinite(sd):
            variances.append(sd**2)
            weights.append(len(block))
    if variances:
        return float(np.sqrt(np.average(variances, weights=weights)))
    return float(np.sqrt(np.mean(own**2))) if len(own) else float("nan")


def _baselines(pool: Pool, baseline: str) -> list[int | None]:
    """Return the index of each method's baseline: same augmentation, then the most alike."""
    free: list[int] = []
    by_augmentation: dict[Any, list[int]] = {}
    for index, method in enumerate(pool.methods):
        if baseline in (method["sampler"], method["sampler_name"]):
            alike = [free] if method["untrained"] else []
            for group in (*alike, by_augmentation.setdefault(method["augmentation"], [])):
                group.append(index)
    return [
        _most_alike(pool, m, sorted({*free, *by_augmentation.get(m["augmentation"], ())}))
        for m in pool.methods
    ]


def _most_alike(pool: Pool, method: Mapping[str, Any], fitting: Sequence[int]) -> int | None:
    def alike(index: int) -> tuple[bool, ...]:
        other = pool.methods[index]
        same = (other[k] == method[k] for k in ("objective", "candidates", "budget"))
        return (other == method, *same)

    return max(fitting, key=alike, default=None)


def _differences(
    table: pd.DataFrame, means: Array, reference: Sequence[int | None]
) -> comparisons.Paired:
    """Fill in the differences; a method is not compared with itself."""
    other = np.full(means.shape, np.nan)
    for i, j in enumerate(reference):
        if j is not None and j != i:
            other[i] = means[j]
    result = comparisons.paired(means, other)
    table["difference"] = result.difference
    table["difference_low"], table["difference_high"] = result.low, result.high
    table["p_holm"] = comparisons.holm(result.p)
    return result


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
    partly = (status == "done") & ~pool.cells["complete"]
    asked = pool.cells["encoder"] == AS_THEY_ARE  # each on the tests it was given: none failed
    failed = (status == "failed") | (partly & ~asked)
    missing = status.isin(["pending", "running"]) | (partly & asked)
    skipped = status.eq("skipped")
    for name, counted in (("failed", failed), ("missing", missing), ("skipped", skipped)):
        table[f"n_{name}"] = np.bincount(method[counted.to_numpy(dtype=bool)], minlength=len(table))


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
    columns = [
        *_BEFORE,
        *varying,
        *_AFTER,
        *tasks,
        *COSTS,
        *SECONDS,
        *LEAKS,
        "pool",
    ]
    if not parts:
        return pd.DataFrame(columns=columns)
    whole = pd.concat(parts, ignore_index=True).reindex(columns=columns)
    costs = [c for c in (*COSTS, *SECONDS, *LEAKS) if whole[c].isna().all()]
    return whole.drop(columns=costs)


def _with_notes(statistics: PoolStatistics, averaged: PoolStatistics) -> PoolStatistics:
    return replace(statistics, notes=tuple(dict.fromkeys((*statistics.notes, *averaged.notes))))
