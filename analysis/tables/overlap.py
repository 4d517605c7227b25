"""Overlap of what two samplers choose on the same batches.

Cells of one seed share weights, batch and views in the first step, so there the overlap is that of
the samplers alone; the last step's batch is shared too, but ranked by the models they made.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd

from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.tables.pools import Pool

MOMENTS = ("first", "last")
COLUMNS = (
    *("sampler", "other", "jaccard", "shared_weight", "chance", "jaccard_low", "jaccard_high"),
    *("n_seeds", "n_anchors"),
)


def overlap_table(pool: Pool, choices: Mapping[str, pd.DataFrame], moment: str) -> pd.DataFrame:
    """Return one row per ordered pair of samplers, at the ``first`` or ``last`` step.

    Returns:
        `COLUMNS`, all shares in [0, 1]: ``jaccard`` of the sets of texts that the two chose for an
        anchor, mean over anchors, then over seeds and augmentations, with its lowest and highest
        seed; ``shared_weight``, the sum of the smaller of their two shares in the gradient;
        ``chance``, the Jaccard index of independent sets of these sizes. Candidates that a sampler
        made are not shared.
    """
    found = pd.DataFrame(list(_pairs(pool, choices, moment)))
    if found.empty or found["sampler"].nunique() < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    values = ["jaccard", "shared_weight", "chance"]
    keys = ["sampler", "other"]
    counts = found.groupby([*keys, "seed"])["n_anchors"].sum().groupby(keys).sum()
    seeds = found.groupby([*keys, "seed"])[values].mean()
    groups = seeds.groupby(keys)
    table = groups.mean()
    table["jaccard_low"] = groups["jaccard"].min()
    table["jaccard_high"] = groups["jaccard"].max()
    table["n_seeds"] = groups.size()
    table["n_anchors"] = counts
    return table.reset_index()[list(COLUMNS)]


def _pairs(
    pool: Pool, choices: Mapping[str, pd.DataFrame], moment: str
) -> Iterator[dict[str, object]]:
    cells = pool.cells[~pool.cells["untrained"]].drop_duplicates("key")
    for (seed, _), part in cells.groupby(["seed", "augmentation"], sort=True):
        read = [(row["sampler"], choices.get(str(row["key"]))) for row in part.to_dict("records")]
        at = "min" if moment == "first" else "max"
        kept = [
            (name, t[t["step"] == t["step"].agg(at)])
            for name, t in read
            if t is not None and len(t)
        ]
        if len(kept) < 2:
            continue
        answers = _answers([table for _, table in kept])
        for (one, (left, mine)), (other, (right, its)) in combinations_with_replacement(
            list(zip([n for n, _ in kept], answers, strict=True)), 2
        ):
            measured = _measure(left, mine, right, its)
            if measured is not None:
                yield {"sampler": one, "other": other, "seed": seed, **measured}
                if one != other:
                    yield {"sampler": other, "other": one, "seed": seed, **measured}


def _answers(tables: list[pd.DataFrame]) -> list[tuple[float, Array]]:
    """Return per cell the mean number of candidates of an anchor, and weights (A, C).

    Anchors are the (place, text) pairs that any cell has; the weight of a choice may
    underflow to 0, so chosen ones count at least the smallest float. The last column is
    that of made candidates.
    """
    everything = pd.concat(tables, ignore_index=True)
    anchors = everything[["place", "anchor"]].drop_duplicates().sort_values(["place", "anchor"])
    rows = {tuple(a): i for i, a in enumerate(anchors.itertuples(index=False, name=None))}
    texts = np.unique(everything["candidate"])
    texts = texts[texts >= 0]
    tiny = np.finfo(np.float32).tiny
    out = []
    for table in tables:
        weights = np.zeros((len(rows), len(texts) + 1))
        row = [rows[a] for a in zip(table["place"], table["anchor"], strict=True)]
        made = (table["candidate"] < 0).to_numpy()
        column = np.where(made, len(texts), np.searchsorted(texts, table["candidate"]))
        weights[row, column] = table["weight"].to_numpy(dtype=float).clip(min=tiny)
        could = table.drop_duplicates(["place", "anchor"])["candidates"]
        out.append((float(could.mean()), weights))
    return out


def _measure(left: float, mine: Array, right: float, its: Array) -> dict[str, float] | None:
    """Return the overlap of two cells over anchors for which both chose something, if any."""
    common = (mine > 0).any(axis=1) & (its > 0).any(axis=1)
    if not common.any():
        return None
    same = mine is its
    mine, its = mine[common], its[common]
    known = slice(None) if same else slice(0, -1)  # made candidates are not shared
    both = ((mine > 0) & (its > 0))[:, known].sum(axis=1)
    k, other = (mine > 0).sum(axis=1), (its > 0).sum(axis=1)
    shared = np.minimum(mine, its)[:, known].sum(axis=1)
    size = max((left + right) / 2, 1.0)
    by_chance = np.minimum(k * other / size, np.minimum(k, other))
    return {
        "jaccard": float((both / (k + other - both)).mean()),
        "shared_weight": float(shared.mean()),
        "chance": float((by_chance / (k + other - by_chance)).mean()),
        "n_anchors": int(common.sum()),
    }
