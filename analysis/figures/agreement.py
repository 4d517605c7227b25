"""Pictures of agreement: between samplers on the same batches, and between models on one probe."""

import textwrap
from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from nsbench.analysis.figures import drawing
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import COLUMN_WIDTH, look
from nsbench.analysis.tables.agreement import KINDS, agreement_table
from nsbench.analysis.tables.overlap import MOMENTS, overlap_table

_MOST_NUMBERED = 10  # samplers up to which every field shows its number
_NAME_WIDTH = 36
_KIND_MARKERS = {"seeds": "o", "baseline": "s", "encoders": "^"}


def collect_overlap(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and moment, one row per ordered pair of samplers."""
    for name, pool in drawing.each_pool(material):
        for moment in MOMENTS:
            table = overlap_table(pool, material.choices, moment)
            if not table.empty:
                yield drawing.joined(moment, name), table.assign(moment=moment, pool=pool.title)


def overlap_size(table: pd.DataFrame) -> tuple[float, float]:
    """Size of one column, wider for many samplers, so that their names stay legible."""
    n = table["sampler"].nunique()
    names = 0.066 * min(_NAME_WIDTH, max(len(str(s)) for s in table["sampler"]))
    side = max(1.4, 0.14 * n)
    width = max(COLUMN_WIDTH, 1.0 + names + side)
    return width, 1.3 + max(side, 0.8 * (width - 1.0 - names))


@figure(collect_overlap, size=overlap_size, needs=["choices"])
def sampler_overlap(table: pd.DataFrame, ax: Axes) -> Axes:
    """Overlap of samplers' choices on the same batches, first and last."""
    names = list(dict.fromkeys(table["sampler"]))
    sets, weight = (
        table.pivot_table(index="sampler", columns="other", values=v).reindex(names, columns=names)
        for v in ("jaccard", "shared_weight")
    )
    upper = np.triu(np.ones((len(names), len(names)), dtype=bool), 1)
    wide = sets.where(upper, weight.where(upper.T))
    few = len(names) <= _MOST_NUMBERED
    sns.heatmap(
        wide,
        ax=ax,
        annot=few,
        fmt=".2f",
        annot_kws={"fontsize": 6},
        cmap="cividis",
        vmin=0,
        vmax=1,
        square=True,
        cbar_kws={"label": "overlap (share)", "shrink": 0.7},
        linewidths=0.4,
        xticklabels=[f"{i + 1}" for i in range(len(names))],
        yticklabels=[
            f"{textwrap.shorten(n, _NAME_WIDTH, placeholder=' ...')}  {i + 1}"
            for i, n in enumerate(names)
        ],
    )
    ax.set_facecolor("0.92")
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.tick_params(axis="both", labelrotation=0, labelsize=7 if few else 6)
    ax.set(xlabel="sampler, by number", ylabel="")
    moment = table["moment"].iloc[0]
    model = "one model" if moment == "first" else "each ranks it by its own model"
    return drawing.finish(
        ax,
        table,
        title=f"Overlap of samplers on the {moment} batch",
        caption=f"{drawing.counts(table)}. The same batches for all, {model}. Above the diagonal: "
        f"Jaccard index of the chosen sets (by chance {table['chance'].median():.2f} in the median "
        "pair); below: shared gradient weight",
    )


def collect_agreement(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per data set and encoder, one row per sampler and kind of comparison."""
    table = agreement_table(material.pools, material.probes)
    groups = list(table.groupby(["data", "encoder"], sort=True))
    for (data, encoder), part in groups:
        yield (f"{encoder} on {data}" if len(groups) > 1 else ""), part


@figure(collect_agreement, size=drawing.rows_size, needs=["probes"])
def agreement(table: pd.DataFrame, ax: Axes) -> Axes:
    """Agreement of models on what is hard: between seeds, with in_batch, between encoders."""
    rows = np.arange(len(table))
    for kind, marker in _KIND_MARKERS.items():
        part = table[table["kind"] == kind]
        if part.empty:
            continue
        where = rows[(table["kind"] == kind).to_numpy()]
        for place, row in zip(where, part.to_dict("records"), strict=True):
            colour = look(str(row["sampler"])).colour
            for value, face in (("rho", colour), ("overlap", "white")):
                ax.plot([row[f"{value}_low"], row[f"{value}_high"]], [place] * 2, color=colour)
                ax.plot(row[value], place, marker, color=colour, markerfacecolor=face)
        ax.plot([], [], marker, color="0.3", linestyle="none", label=_short(kind, part))
    ax.axvline(table["chance"].median(), color="0.6", linewidth=0.8, linestyle=(0, (3, 2)))
    first = ~table.duplicated("sampler")
    drawing.name_rows(
        ax, drawing.row_labels(table.loc[first, "sampler"]), rows[first], rows=len(table)
    )
    for place in rows[first][1:]:
        ax.axhline(place - 0.5, color="0.85", linewidth=0.5, zorder=0)
    ax.set_xlim(min(0.0, float(table["rho_low"].min())) - 0.03, 1.03)
    ax.set_xlabel("agreement (1 = the same ranking)")
    across = blended_transform_factory(ax.transData, ax.transAxes)
    ax.annotate(
        "by chance",
        (table["chance"].median(), 1.0),
        xycoords=across,
        xytext=(2, -1),
        textcoords="offset points",
        fontsize=6,
        color="0.4",
        va="top",
    )
    return drawing.finish(
        ax,
        table,
        title="Do models agree on what is hard?",
        caption=f"{drawing.counts(table)}; filled: Spearman's correlation of whole rankings, "
        "hollow: Jaccard index of the hardest 5 %; bars: all pairs of cells. "
        f"{table['encoder'].iloc[0]}, on {table['data'].iloc[0]}",
        entries=table["kind"].nunique(),
    )


def _short(kind: str, part: pd.DataFrame) -> str:
    others = sorted(set(part["other"].dropna()) - {""})
    text = KINDS[kind].partition(",")[0]
    return textwrap.shorten(f"{text}: {', '.join(others)}", 60) if others else text
