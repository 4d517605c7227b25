"""Scores of embeddings that are cut to their first numbers.

Source: Kusupati et al. 2022, Matryoshka Representation Learning, figure 1.
https://arxiv.org/abs/2205.13147
"""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.collapse import UNTRAINED, collapse_size, looks, named, shown
from nsbench.analysis.figures.drawing import Material, banded_line, each_pool, finish, over_seeds
from nsbench.analysis.figures.registry import figure

_TASK = "first_dimensions"
_METRIC = r"first_(\d+)"


def collect_dimensions(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, mean main score over tests by numbers kept of an embedding, over seeds."""
    for name, pool in each_pool(material):
        rows = material.extra_scores
        rows = rows[rows["task"] == _TASK]
        if rows.empty:
            continue
        rows = rows[["key", "metric", "value"]].merge(named(pool), on="key")
        if rows.empty:
            continue
        rows = rows.assign(k=rows["metric"].str.extract(_METRIC, expand=False).astype(int))
        keys = ["method", "by", "k"]
        table = over_seeds(rows.groupby([*keys, "seed"])["value"].mean(), keys)
        yield name, table.assign(sampler=table["method"], pool=pool.title)


@figure(
    "score of embeddings that are cut to their first numbers",
    collect_dimensions,
    size=collapse_size,
    needs=["extra_scores"],
)
def dimensions(table: pd.DataFrame, ax: Axes) -> Axes:
    """One line per method; a flat one loses little where embeddings are cut."""
    for method, style in looks(table).items():
        part = table[table["method"] == method].sort_values("k")
        label = "untrained" if method == UNTRAINED else method
        banded_line(ax, part["k"], part, style, scale=100, label=label)
    ticks = sorted(table["k"].unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{k}" for k in ticks])
    ax.minorticks_off()
    ax.set_xlabel("numbers kept of an embedding")
    ax.set_ylabel("mean main score x 100")
    return finish(
        ax,
        table,
        title="How short may embeddings be?",
        caption=f"{shown(table)}, band: lowest to highest",
        entries=table["method"].nunique(),
    )
