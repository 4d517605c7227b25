"""Pictures of false negatives where the truth is known: dialled against measured, and by rank."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures import drawing
from nsbench.analysis.figures.cast import Cast
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.tables.false_negatives import rate_table
from nsbench.analysis.tables.predictors import late_rows

_SAME = re.compile(r"same_meaning_([\d.]+)_([\d.]+)")


def collect_rates(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per encoder and augmentation, one row per sampler and dialled rate; two rates at least."""
    table = rate_table(material.pools, material.difficulty)
    groups = list(table.groupby(["encoder", "augmentation"], sort=True))
    for (encoder, augmentation), part in groups:
        if part["dialled"].nunique() > 1:
            yield (f"{encoder} {augmentation}" if len(groups) > 1 else ""), part


@figure(collect_rates, needs=["difficulty"])
def false_negative_rates(table: pd.DataFrame, ax: Axes) -> Axes:
    """False negatives that each sampler picked up against the dialled rate."""
    dialled = 100 * np.array(sorted(table["dialled"].unique()))
    ax.plot(dialled, dialled, color="0.6", linestyle=":", label="uniform choice")
    order = table.groupby("sampler")["measured"].max().sort_values(ascending=False, kind="stable")
    cast = Cast.of(order.index)
    for part, style, line in cast.drawn(table.sort_values("dialled", kind="stable")):
        columns = ("measured", "low", "high")
        drawing.interval_line(
            ax, 100 * part["dialled"], part, style, columns=columns, scale=100, **line
        )
    ax.set_xlabel("dialled false negatives\namong all candidates (percent)")
    ax.set_ylabel("false negatives among\nthe chosen (percent)")
    return drawing.finish(
        ax,
        table,
        title="False negatives: dialled and picked up",
        caption=f"{drawing.counts(table)}{cast.note}; counted over all measured steps, bars: 95 % "
        f"t interval over seeds. {table['encoder'].iloc[0]}, {table['augmentation'].iloc[0]}",
        entries=len(cast.named) + 1,
    )


def collect_same(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, share of the same meaning by bin of the ranking, over the last quarter."""
    table = late_rows(material.difficulty)
    table = table[table["quantity"].astype(str).str.fullmatch(_SAME.pattern) & (table["count"] > 0)]
    if table.empty:
        return
    ends = table["quantity"].str.extract(_SAME).astype(float)
    table = table.assign(low=ends[0], high=ends[1], hits=table["mean"] * table["count"])
    for name, pool in drawing.each_pool(material):
        part = drawing.of_cells(table, pool)
        if part.empty:
            continue
        keys = ["sampler", "low", "high"]
        sums = part.groupby([*keys, "seed"])[["hits", "count"]].sum()
        yield name, drawing.over_seeds(sums["hits"] / sums["count"], keys).assign(pool=pool.title)


@figure(collect_same, needs=["difficulty"])
def same_meaning(table: pd.DataFrame, ax: Axes) -> Axes:
    """Share of candidates that mean the same as their anchor, by place in the ranking."""
    bins = sorted({(low, high) for low, high in table[["low", "high"]].to_numpy()})
    place = {b: i for i, b in enumerate(bins)}
    cast = Cast.by(table[table["low"] == table["low"].min()], "mean")
    for part, style, line in cast.drawn(table.sort_values("low", kind="stable")):
        where = [place[(low, high)] for low, high in part[["low", "high"]].to_numpy()]
        drawing.banded_line(ax, where, part, style, scale=100, **line)
    drawing.band_ticks(ax, bins)
    ax.set_xlabel("place in the full ranking (percent, 0 = hardest)")
    ax.set_ylabel("candidates of the same\nmeaning (percent)")
    ax.set_ylim(bottom=0)
    return drawing.finish(
        ax,
        table,
        title="Same meaning by difficulty",
        caption=f"{drawing.counts(table)}, band: lowest to highest{cast.note}; all candidates of "
        "the last quarter, ranked by the model that the sampler trained",
        entries=len(cast.named),
    )
