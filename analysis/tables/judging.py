"""Verdicts as columns of a leaderboard, read off the same intervals, and the alarms of its rows.

See `nsbench.analysis.statistics.verdicts` for the procedure.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtri
from scipy.stats import norm, rankdata

from nsbench.analysis.read.load import Results
from nsbench.analysis.statistics.simultaneous import Critical
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.statistics.verdicts import LEAST_SEEDS, UNDECIDED, Verdicts, judge
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.pools import Pool
from nsbench.analysis.tables.ranks import ALPHA
from nsbench.analysis.tables.text import some

POWER = 0.8
PAIRED = 2000
"""Most methods of a comparison group that are all compared with each other, for rank intervals and
letters; a larger group is compared with its baselines alone."""
_AT_ONCE = 1000


@dataclass(frozen=True)
class Basis:
    """Basis of the verdicts of a group.

    Attributes:
        n_compared: Methods compared with a baseline.
        n_seeds: Seeds of the scarcest comparison, 0 without any.
        detectable: Smallest true difference found with `POWER` in a typical comparison, or NaN.
        critical: Normal scores behind the intervals; ``None`` without any, and for groups of more
            than `PAIRED` methods.
    """

    n_compared: int
    n_seeds: int
    detectable: float
    critical: Critical | None


def add_verdicts(
    table: pd.DataFrame, means: Array, reference: Sequence[int | None], margin: float
) -> "Basis":
    """Fill in ranks, letters, differences to the baseline and verdicts.

    Args:
        table: One row per method.
        means: Means over tasks in points, shape (M, S); NaN where a seed is missing.
        reference: Index of each method's baseline.
        margin: Difference in points that does not matter.

    """
    whole = len(means) <= PAIRED
    parts = _judged(means, reference, margin) if len(means) else []
    columns = ("difference", "difference_low", "difference_high", "p_adjusted", "mean_ranked")
    values = {name: np.full(len(means), np.nan) for name in columns}
    verdict, more = np.full(len(means), "", dtype=object), np.zeros(len(means), dtype=np.int64)
    letters, rank_lo, rank_hi = verdict.copy(), more.copy(), more.copy()
    seeds, found, judged = [], [], np.zeros(len(means), dtype=bool)
    for rows, inner, v in parts:
        gap, half = v.gap[inner], v.gap_half[inner]
        filled = (gap, gap - half, gap + half, v.gap_p[inner], v.level[inner])
        for name, value in zip(columns, filled, strict=True):
            values[name][rows] = value
        verdict[rows], more[rows] = np.array(v.verdict(), dtype=object)[inner], v.more[inner]
        seeds += [int(n) for n in v.n[inner][np.isfinite(half)]]
        found += list(detectable(v)[inner][np.isfinite(half)])
        if whole:
            judged, letters = v.judged(), np.array(v.letters(), dtype=object)
            rank_lo, rank_hi = v.rank_intervals()
    for name in columns:
        table[name] = values[name]
    table["verdict"] = verdict
    known = (verdict == UNDECIDED) & (more > 0)
    table["more_seeds"] = pd.array(np.where(known, more, -1), dtype="Int64")
    table.loc[~known, "more_seeds"] = pd.NA
    rated = np.isfinite(values["mean_ranked"])
    rank = np.zeros(len(means), dtype=np.int64)
    rank[rated] = rankdata(-values["mean_ranked"][rated], method="min")
    for name, ranks, there in (
        ("rank", rank, rated),
        ("rank_lo", rank_lo, judged),
        ("rank_hi", rank_hi, judged),
    ):
        table[name] = pd.array(ranks, dtype="Int64")
        table.loc[~there, name] = pd.NA
    table["group"] = letters
    smallest = float(np.median(found)) if found else float("nan")
    critical = parts[0][2].critical if whole and parts else None
    return Basis(len(seeds), min(seeds, default=0), smallest, critical)


def detectable(verdicts: Verdicts) -> Array:
    """Smallest true differences to the baseline that are found with `POWER`, shape (M,).

    Power is averaged over the spreads that the seeds could have shown: the noncentrality at which
    Student's t passes half the interval with `POWER`. The spread at hand is divided by its median
    over samples, so that the figure is as often too large as too small.

    Source: Abramowitz, Stegun 1964, Handbook of mathematical functions, equation 26.7.10
    (noncentral t as a normal variable).
    """
    error = verdicts.per_seed / np.sqrt(np.maximum(verdicts.n, 1))
    freedom = verdicts.freedom
    t = np.divide(verdicts.gap_half, error, out=np.zeros_like(error), where=error > 0)
    noncentrality = t * (1 - 1 / (4 * freedom))
    noncentrality += norm.isf(1 - POWER) * np.sqrt(1 + t * t / (2 * freedom))
    return np.asarray(noncentrality * error / np.sqrt(chdtri(freedom, 0.5) / freedom))


def _judged(
    means: Array, reference: Sequence[int | None], margin: float
) -> list[tuple[Any, Any, Verdicts]]:
    """The group's verdicts: at once, or some methods at a time, each part with its share of alpha.

    Returns:
        Rows of the table, their places in the part, and the part's verdicts.
    """
    size = len(means)
    if size <= PAIRED:
        every = np.arange(size)
        return [(every, every, judge(means, reference, margin=margin, alpha=ALPHA))]
    out = []
    starts = range(0, size, _AT_ONCE)
    for start in starts:
        rows = list(range(start, min(start + _AT_ONCE, size)))
        bases = sorted({r for i in rows if (r := reference[i]) is not None} - set(rows))
        members = [*rows, *bases]
        place = {row: i for i, row in enumerate(members)}
        inner = [None if (r := reference[i]) is None else place.get(r) for i in members]
        share = ALPHA / len(starts)
        verdicts = judge(means[members], inner, margin=margin, alpha=share)
        out.append((np.array(rows), np.arange(len(rows)), verdicts))
    return out


def seed_notes(
    pool: Pool, table: pd.DataFrame, means: Array, reference: Sequence[int | None]
) -> list[str]:
    """One line for each thing that keeps methods from a comparison on all seeds."""
    there = np.isfinite(means)
    n = there.sum(axis=1)
    notes: list[str] = []
    methods = pd.DataFrame(pool.methods)
    named = [
        f"{name} x {augmentation}" if augmentation else name
        for name, augmentation in zip(
            method_names(methods), methods.get("augmentation", ()), strict=True
        )
    ]
    short, lone, few = [], [], []
    for i, base in enumerate(reference):
        name = named[i]
        if not n[i]:
            continue
        if base is not None and base != i and (there[base] & ~there[i]).any():
            short.append(f"{name} ({n[i]} of {n[base]})")
        if pd.isna(table["rank"].iloc[i]):
            lone.append(name)
        elif n[i] < LEAST_SEEDS:
            few.append(name)
    if short:
        notes.append(
            "fewer seeds than the baseline, ranked by the difference on the seeds they share: "
            + some(short)
        )
    if lone:
        notes.append("no rank, because no seed is shared with the baseline: " + some(lone))
    if few:
        notes.append(
            f"no verdict and no letter under {LEAST_SEEDS} seeds: "
            + ("all methods" if len(few) == int((n > 0).sum()) else some(few))
        )
    lacking = [
        f"{named[b]} ({n[b]} of {n.max()})"
        for b in sorted({r for r in reference if r is not None})
        if n[b] < n.max()
    ]
    if lacking:
        notes.append(
            "the baseline lacks seeds, and differences to it are over those it has: "
            + some(lacking)
        )
    return notes


def alarms_by_key(results: Results) -> dict[str, tuple[str, ...]]:
    """Names of the alarms that each finished cell rang."""
    found: dict[str, tuple[str, ...]] = {}
    for cell in results.loaded:
        rung = cell.record.alarms if cell.record is not None and cell.status == "done" else ()
        if rung:
            found[cell.key] = tuple(dict.fromkeys(alarm["name"] for alarm in rung))
    return found


def add_alarms(table: pd.DataFrame, pool: Pool, alarms: Mapping[str, tuple[str, ...]]) -> None:
    """Fill in the alarms of each row, as "collapse (2 of 5 cells)"; empty if none rang."""
    cells = pool.cells
    of_method: list[list[tuple[str, ...]]] = [[] for _ in range(len(table))]
    for method, key, status in zip(cells["method"], cells["key"], cells["status"], strict=True):
        if status == "done":
            of_method[method].append(alarms.get(str(key), ()))
    table["alarms"] = [alarm_text(rung) for rung in of_method]


def alarms_of(
    methods: Sequence[tuple[Pool, int]], alarms: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Alarms of every finished cell of some methods, each given by its pool and index there."""
    out: list[tuple[str, ...]] = []
    for pool, index in methods:
        cells = pool.cells
        own = cells["key"][(cells["method"] == index) & (cells["status"] == "done")]
        out += [alarms.get(str(key), ()) for key in own]
    return out


def alarms_in(text: str) -> list[str]:
    """Return the alarms that `alarm_text` told, each with its count."""
    return [alarm for alarm in text.split(", ") if alarm]


def alarm_text(rung: Sequence[tuple[str, ...]]) -> str:
    """Return in words how many of some cells rang each alarm."""
    counts = Counter(name for names in rung for name in names)
    return ", ".join(f"{name} ({n} of {len(rung)} cells)" for name, n in sorted(counts.items()))
