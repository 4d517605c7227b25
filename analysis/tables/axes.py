"""Marginal leaderboards of augmentations, objectives, pools, encoders and data sets.

A block is everything else of a method: its sampler, and what other axes vary. Values are compared
over the blocks that all of them have, by seed, with the verdicts of samplers. An effect that
depends on the sampler is no property of the value alone, so each row says between which samplers
it is smallest and largest, and whether that is more than noise.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.statistics.comparisons import holm
from nsbench.analysis.statistics.stats import Array, seed_means
from nsbench.analysis.statistics.verdicts import judge
from nsbench.analysis.tables.judging import add_verdicts, alarm_text, alarms_of
from nsbench.analysis.tables.pools import METHOD_KEYS, POOL_KEYS, Pool

AXES = {
    "augmentation": "augmentations",
    "objective": "objectives",
    "candidates": "candidates",
    "encoder": "encoders",
    "data": "data",
}
"""Column of each axis, and the ending of its ``leaderboard_<axis>.csv``."""
_PREFERRED = {"augmentation": "none", "objective": "info_nce", "candidates": "in_batch"}
_MOST_SAMPLERS = 60  # whose effects are compared with each other
_COSTS = ("encodes", "seconds_train")
COLUMNS = (
    *("axis", "rank", "rank_lo", "rank_hi", "group", "value", "baseline", "n_blocks"),
    *("n_samplers", "n_seeds", "n_tasks", "mean", "difference", "difference_low"),
    *("difference_high", "p_adjusted", "verdict", "more_seeds", "interaction_p"),
    *("effect_low_sampler", "effect_low", "effect_high_sampler", "effect_high"),
    *("best_sampler", "alarms", *_COSTS, "pool"),
)


@dataclass(frozen=True)
class _Entry:
    """One trained method of one pool."""

    keys: Mapping[str, str]
    pool: Pool
    index: int

    def means(self, tasks: Sequence[str], seeds: Sequence[int]) -> Array:
        """Points by seed over some tasks; NaN where a seed is missing."""
        places = [self.pool.tasks.index(t) for t in tasks]
        own = 100.0 * seed_means(self.pool.scores[self.index : self.index + 1][:, :, places])[0]
        by_seed = dict(zip(self.pool.seeds, own, strict=True))
        return np.array([by_seed.get(s, np.nan) for s in seeds])

    def cost(self, name: str) -> float:
        """Mean of a cost over the finished cells; NaN where it is not known."""
        cells = self.pool.cells
        if name not in cells:
            return float("nan")
        own = (cells["method"] == self.index) & (cells["status"] == "done")
        return float(cells.loc[own, name].mean())


def axis_table(
    pools: Sequence[Pool], margin: float, alarms: Mapping[str, tuple[str, ...]]
) -> tuple[pd.DataFrame, list[str]]:
    """One row per value of every axis that varies.

    Returns:
        Columns `COLUMNS`; differences are to ``baseline``, a value of the axis. And one line for
        each value that could not be compared.
    """
    entries = [
        _Entry({k: str({**pool.shared, **m}[k]) for k in (*POOL_KEYS, *METHOD_KEYS)}, pool, i)
        for pool in pools
        for i, m in enumerate(pool.methods)
        if not m["untrained"] and np.isfinite(seed_means(pool.scores[i : i + 1])).any()
    ]
    parts: list[pd.DataFrame] = []
    notes: list[str] = []
    for axis in AXES:
        shared = [k for k in POOL_KEYS if k != axis]
        groups: dict[tuple[str, ...], list[_Entry]] = {}
        for entry in entries:
            groups.setdefault(tuple(entry.keys[k] for k in shared), []).append(entry)
        for group in groups.values():
            if len({e.keys[axis] for e in group}) > 1:
                parts += _compare(axis, group, margin, alarms, notes)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    return table[list(COLUMNS)], notes


def _compare(
    axis: str,
    group: Sequence[_Entry],
    margin: float,
    alarms: Mapping[str, tuple[str, ...]],
    notes: list[str],
) -> list[pd.DataFrame]:
    """The rows of one axis in one group; none, with a note, where no block has two values."""
    blocks: dict[tuple[str, ...], dict[str, _Entry]] = {}
    for entry in group:
        block = tuple(entry.keys[k] for k in METHOD_KEYS if k != axis)
        blocks.setdefault(block, {})[entry.keys[axis]] = entry
    base = _base(axis, blocks)
    values, whole = _complete(blocks, base)
    every = sorted({v for by_value in blocks.values() for v in by_value})
    title = next(e.pool.title for e in group if e.keys[axis] == base)
    if left := [v for v in every if v not in values]:
        notes.append(
            f"{axis}: no sampler and setting has both {base} and {', '.join(left)}, which are "
            f"not compared ({title})"
        )
    if len(values) < 2:
        return []
    chosen = [blocks[b] for b in whole]
    tasks = [
        t
        for t in chosen[0][base].pool.tasks
        if all(t in b[v].pool.tasks for b in chosen for v in b)
    ]
    if not tasks:
        notes.append(f"{axis}: {', '.join(values)} have no task in common ({title})")
        return []
    seeds = sorted({s for b in chosen for v in values for s in b[v].pool.seeds})
    scores = np.array(
        [[b[v].means(tasks, seeds) for b in chosen] for v in values]
    )  # (V, blocks, S)
    of_sampler = [str(b[base].keys["sampler"]) for b in chosen]
    means = scores.mean(axis=1)
    table = pd.DataFrame({"axis": axis, "value": values, "baseline": base, "pool": title})
    table["n_blocks"], table["n_samplers"] = len(chosen), len(set(of_sampler))
    table["n_tasks"], table["n_seeds"] = len(tasks), np.isfinite(means).sum(axis=1)
    table["mean"] = [m[np.isfinite(m)].mean() if np.isfinite(m).any() else np.nan for m in means]
    place = values.index(base)
    add_verdicts(table, means, [place] * len(values), margin)
    _interaction(table, scores, of_sampler, place, margin)
    rung = [alarms_of([(b[v].pool, b[v].index) for b in chosen], alarms) for v in values]
    table["alarms"] = [alarm_text(r) for r in rung]
    for cost in _COSTS:
        table[cost] = [np.mean([b[v].cost(cost) for b in chosen]) for v in values]
    return [table.sort_values(["rank", "value"], kind="stable")]


def _base(axis: str, blocks: Mapping[Any, Mapping[str, _Entry]]) -> str:
    """The value that others are compared with: the plain one, or the most frequent."""
    counts = Counter(value for by_value in blocks.values() for value in by_value)
    plain = _PREFERRED.get(axis, "")
    known = [v for v in sorted(counts) if plain and v.partition("(")[0] == plain]
    return max(known or sorted(counts), key=lambda v: counts[v])


def _complete(
    blocks: Mapping[tuple[str, ...], Mapping[str, _Entry]], base: str
) -> tuple[list[str], list[tuple[str, ...]]]:
    """The values that share blocks with the baseline, and the blocks that have all of them.

    The value with the fewest blocks is left out until some block is complete.
    """
    with_base = {b: by_value for b, by_value in blocks.items() if base in by_value}
    counts = Counter(value for by_value in with_base.values() for value in by_value)
    values = sorted(counts, key=lambda v: (v != base, -counts[v], v))
    while len(values) > 1:
        whole = [b for b, by_value in with_base.items() if all(v in by_value for v in values)]
        if whole:
            return values, sorted(whole)
        values.pop()
    return values, []


def _interaction(
    table: pd.DataFrame, scores: Array, of_sampler: Sequence[str], base: int, margin: float
) -> None:
    """Fill in each value's effect by sampler: its extremes, and p of any two being different.

    p is the least of all pairs of samplers, which are corrected together, and then corrected by
    Holm over the values.
    """
    names = list(dict.fromkeys(of_sampler))
    places = [[i for i, s in enumerate(of_sampler) if s == name] for name in names]
    own = np.array([[v[p].mean(axis=0) for p in places] for v in scores])  # (V, K, S)
    p = np.full(len(table), np.nan)
    extremes: list[tuple[Any, Any, Any, Any]] = []
    for row in range(len(table)):
        effects = own[row] - own[base]
        shared = np.isfinite(effects).all(axis=0)
        if row == base or not shared.any() or len(names) < 2:
            extremes.append(("", np.nan, "", np.nan))
            continue
        level = effects[:, shared].mean(axis=1)
        low, high = int(level.argmin()), int(level.argmax())
        extremes.append((names[low], level[low], names[high], level[high]))
        if len(names) <= _MOST_SAMPLERS:
            tested = judge(effects[:, shared], [None] * len(names), margin=margin).p
            p[row] = np.nanmin(tested) if np.isfinite(tested).any() else np.nan
    table["interaction_p"] = holm(p)
    for place, name in enumerate(
        ("effect_low_sampler", "effect_low", "effect_high_sampler", "effect_high")
    ):
        table[name] = [e[place] for e in extremes]
    best = []
    for values in own:
        there = np.isfinite(values).all(axis=0)
        best.append(names[int(values[:, there].mean(axis=1).argmax())] if there.any() else "")
    table["best_sampler"] = best
