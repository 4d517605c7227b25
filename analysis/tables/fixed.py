"""Intervals of models that were not trained here: by a bootstrap over the items of their tests.

One evaluation has no seeds. Where a record keeps scores by item, which retrieval tests have by
query, the items are drawn again with replacement; the interval says how far the mean could move
with other items of the same kind.

Source: Efron, Tibshirani 1993, An introduction to the bootstrap, chapter 13 (percentile interval).
https://doi.org/10.1201/9780429246593
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nsbench.analysis.read.load import LoadedCell, Results
from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.tables.pools import Pool
from nsbench.analysis.tables.text import some
from nsbench.benchmarks.records.record import QUERY_COLUMNS

AS_THEY_ARE = "models as they are"
"""Encoder of the rows that ``nsbench evaluate`` makes."""
RESAMPLES = 2000
_SEED = 0


def add_item_intervals(table: pd.DataFrame, pool: Pool, results: Results) -> list[str]:
    """Fill in ``ci_low`` and ``ci_high`` of models as they are, and say where they come from.

    Args:
        table: One row per method of the pool, in its order, in points.
        pool: The comparison group; only one of models as they are is changed.
        results: As loaded.
    """
    if pool.shared["encoder"] != AS_THEY_ARE:
        return []
    cells = {cell.key: cell for cell in results.loaded}
    told, lacking = [], []
    for method in range(len(pool.methods)):
        keys = pool.cells.loc[pool.cells["method"] == method, "key"]
        done = [cells[str(k)] for k in keys if cells[str(k)].status == "done"]
        if len(done) != 1 or not np.isfinite(table["mean"].iloc[method]):
            continue
        name = str(pool.methods[method]["sampler"])
        drawn = _drawn(done[0], pool.tasks)
        if drawn is None:
            lacking.append(name)
            continue
        low, high = np.quantile(drawn, [0.025, 0.975])
        table.loc[table.index[method], ["ci_low", "ci_high"]] = [100 * low, 100 * high]
        told.append(name)
    notes = []
    if told:
        notes.append(
            f"one evaluation has no seeds: the interval is over test items of {some(told)}"
        )
    if lacking:
        notes.append(
            "no interval, for one evaluation has no seeds and not every test has scores by item "
            f"(retrieval tests have): {some(lacking)}"
        )
    return notes


def _drawn(cell: LoadedCell, tasks: Sequence[str]) -> Array | None:
    """Return means over tasks of resampled items; ``None`` where a task lacks scores by item."""
    if cell.paths is None or not cell.paths.queries.is_file():
        return None
    try:
        table = pd.read_parquet(cell.paths.queries, columns=list(QUERY_COLUMNS))
    except (OSError, ValueError):
        return None
    items = dict(
        tuple(table.groupby(["task", "split", "subset", "metric"], observed=True)["value"])
    )
    parts: dict[str, list[Array]] = {}
    rng = np.random.default_rng(_SEED)
    rows = [row for row in cell.scores if row[-1] and row[0] in tasks]
    tested = {task for task, split, *_ in rows if split == "test"}
    for task, split, subset, metric, *_ in rows:
        if task in tested and split != "test":
            continue
        found = items.get((task, split, subset, metric))
        if found is None or not len(found):
            return None
        values = found.to_numpy(dtype=float)
        weight = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES)
        parts.setdefault(str(task), []).append(weight @ values / len(values))
    if set(parts) != set(tasks):
        return None
    return np.asarray(np.mean([np.mean(p, axis=0) for p in parts.values()], axis=0))
