"""Pictures of false negatives where the truth is known: dialled against measured, and by rank."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.cast import Cast
from nsbench.analysis.figures.drawing import (
    Material,
    banded_line,
    caption,
    counts,
    each_pool,
    legend,
    over_seeds,
    title,
)
from nsbench.analysis.tables.false_negatives import rate_table
from nsbench.analysis.tables.predictors import LAST

_SAME = re.compile(r"same_meaning_([\d.]+)_([\d.]+)")


def collect_rates(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per encoder and augmentation, one row per sampler and dialled rate; two rates at least."""
    table = rate_table(material.pools, material.difficulty)
    groups = list(table.groupby(["encoder", "augmentation"], sort=True))
    for (encoder, augmentation), part in groups:
        if part["dialled"].nunique() > 1:
            yield (f"{encoder} {augmentation}" if len(groups) > 1 else ""), part


def false_negative_rates(table: pd.DataFrame, ax: Axes) -> Axes:
    """One line per sampler over the dialled rates; the grey line is that of a uniform choice.

    Args:
        table: As `collect_rates` makes it.
        ax: Where to draw.
    """
    dialled = sorted(table["dialled"].unique())
    ax.plot(
        100 * np.array(dialled),
        100 * np.array(dialled),
        color="0.6",
        linestyle=":",
        label="uniform choice",
    )
    order = table.groupby("sampler")["measured"].max().sort_values(ascending=False, kind="stable")
    cast = Cast.of(order.index)
    for sampler in cast.order:
        part, style = table[table["sampler"] == sampler].sort_values("dialled"), cast.look(sampler)
        ax.errorbar(
            100 * part["dialled"],
            100 * part["measured"],
            yerr=100 * np.array([part["measured"] - part["low"], part["high"] - part["measured"]]),
            color=style.colour,
            marker=style.marker,
            linestyle=style.dash,
            capsize=2,
            **cast.line(sampler),
        )
    ax.set_xlabel("dialled false negatives\namong all candidates (percent)")
    ax.set_ylabel("false negatives among\nthe chosen (percent)")
    title(ax, "False negatives: dialled and picked up")
    legend(ax, len(cast.named) + 1)
    caption(
        ax,
        f"{counts(table)}{cast.note}; counted over all measured steps, bars: 95 % "
        f"t interval over seeds. {table['encoder'].iloc[0]}, {table['augmentation'].iloc[0]}",
    )
    return ax


def collect_same(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, share of the same meaning by bin of the ranking, over the last quarter."""
    table = material.difficulty
    table = table[table["quantity"].astype(str).str.fullmatch(_SAME.pattern)]
    if table.empty:
        return
    last = material.difficulty.groupby("key")["step"].max()
    table = table[table["step"] >= LAST * table["key"].map(last)]
    table = table[table["count"] > 0]
    ends = table["quantity"].str.extract(_SAME).astype(float)
    table = table.assign(low=ends[0], high=ends[1], hits=table["mean"] * table["count"])
    for name, pool in each_pool(material):
        part = table.merge(pool.cells[["key"]].drop_duplicates(), on="key")
        if part.empty:
            continue
        keys = ["sampler", "low", "high"]
        sums = part.groupby([*keys, "seed"])[["hits", "count"]].sum()
        yield name, over_seeds(sums["hits"] / sums["count"], keys).assign(pool=pool.title)


def same_meaning(table: pd.DataFrame, ax: Axes) -> Axes:
    """One line per sampler over the bins of the full ranking, hardest on the left.

    Args:
        table: As `collect_same` makes it.
        ax: Where to draw.
    """
    bins = sorted({(low, high) for low, high in table[["low", "high"]].to_numpy()})
    place = {b: i for i, b in enumerate(bins)}
    cast = Cast.by(table[table["low"] == table["low"].min()], "mean")
    for sampler in cast.order:
        part, style = table[table["sampler"] == sampler].sort_values("low"), cast.look(sampler)
        where = [place[(low, high)] for low, high in part[["low", "high"]].to_numpy()]
        banded_line(ax, where, part, style, scale=100, **cast.line(sampler))
    names = [f"{low:g}\u2013{high:g}" for low, high in bins]
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_xlabel("place in the full ranking (percent, 0 = hardest)")
    ax.set_ylabel("candidates of the same\nmeaning (percent)")
    ax.set_ylim(bottom=0)
    title(ax, "Same meaning by difficulty")
    legend(ax, len(cast.named))
    caption(
        ax,
        f"{counts(table)}, band: lowest to highest{cast.note}; all candidates of the last "
        f"quarter, ranked by the model that the sampler trained. {table['pool'].iloc[0]}",
    )
    return ax
