"""Default and tuned settings of a study's methods, as arrows between points of cost and mean."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.machines import SECONDS, comparable_seconds
from nsbench.analysis.tables.pools import COSTS, Pool, main_scores, several_splits
from nsbench.analysis.tables.tuned import tuned_keys


def tuned_data(results: Results, every: Sequence[Pool]) -> list[dict[str, Any]]:
    """Return the methods of tuning studies whose tuned settings are not the defaults.

    Returns:
        ``{"pool", "keys", "default", "tuned"}``; ``pool`` is a place in ``every`` and ``keys`` are
        those of the tuned cells. The other two are ``{"mean", "cost"}``: points over the pool's
        tasks and seeds, and costs by name.
    """
    methods = [m for m in tuned_keys(results) if m["default"] != m["tuned"]]
    if not methods:
        return []
    scores = 100.0 * main_scores(results.scores, several_splits(results))
    cells = comparable_seconds(results.cells)[0].set_index("key")
    names = [c for c in (*COSTS, *SECONDS) if c in cells]
    out = []
    for method in methods:
        tuned = {str(k) for k in method["tuned"]}
        found = [i for i, pool in enumerate(every) if tuned & set(pool.cells["key"])]
        if not found:
            continue
        tasks = [t for t in every[found[0]].tasks if t in scores]
        ends = {}
        for kind in ("default", "tuned"):
            keys = [str(k) for k in method[kind]]
            costs = cells.reindex(keys)[names].mean(numeric_only=True)
            mean = scores.reindex(keys)[tasks].mean(axis=1, skipna=False).mean()
            ends[kind] = {
                "mean": float(mean) if np.isfinite(mean) else None,
                "cost": {str(n): float(v) for n, v in costs.items() if np.isfinite(v)},
            }
        if all(end["mean"] is not None for end in ends.values()):
            out.append({"pool": found[0], "keys": sorted(tuned), **ends})
    return out
