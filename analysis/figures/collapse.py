"""Pictures of collapse: random pairs, frequent tokens, alignment and uniformity over training.

Source: Yan et al. 2021, ConSERT, section 5. https://aclanthology.org/2021.acl-long.393; Wang and
Isola 2020, section 4. https://arxiv.org/abs/2005.10242
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nsbench.analysis.figures import drawing
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import COLOURS, COLUMN_WIDTH, DASHES, MARKERS, Look, look
from nsbench.analysis.tables.pools import Pool

UNTRAINED = "no_training"


def named(pool: Pool) -> pd.DataFrame:
    """``key``, ``seed``, ``method`` and ``by`` of a pool's finished cells.

    A method is a sampler, over all of its augmentations; an augmentation if one sampler was run.
    """
    cells = pool.cells[pool.cells["status"] == "done"].drop_duplicates("key")
    trained = cells[cells["sampler"] != UNTRAINED]
    by = "augmentation" if trained["sampler"].nunique() == 1 else "sampler"
    untrained = cells["sampler"] == UNTRAINED
    method = cells[by].where(~untrained, UNTRAINED)
    return cells[["key", "seed"]].assign(method=method, by=by)


def looks(table: pd.DataFrame) -> dict[str, Look]:
    """Return the style of each method: a sampler's own, an augmentation's by its place."""
    methods = list(table["method"].unique())
    if table["by"].iloc[0] == "sampler":
        return {m: look(m) for m in methods}
    trained = [m for m in methods if m != UNTRAINED]
    every = {
        m: Look(*(choices[place % len(choices)] for choices in (COLOURS, MARKERS, DASHES)))
        for place, m in enumerate(trained)
    }
    return {m: every.get(m, look(m)) for m in methods}


def shown(table: pd.DataFrame) -> str:
    """Words for the caption about n and about what was averaged."""
    over = ", over all augmentations" if table["by"].iloc[0] == "sampler" else ""
    return f"{drawing.counts(table)}{over}"


def collapse_size(table: pd.DataFrame) -> tuple[float, float]:
    """Size of one column, higher with more entries of the legend."""
    methods = list(table["method"].unique())
    return COLUMN_WIDTH, 2.7 + 0.145 * -(-len(methods) // drawing.legend_columns(methods))


def collect_random_pairs(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, histogram of random pairs' similarities of each method, seeds added up."""
    for name, pool in drawing.each_pool(material):
        parts = []
        for cell in named(pool).to_dict("records"):
            found = material.random_pairs.get(cell["key"])
            if found:
                lows = np.linspace(-1, 1, len(found), endpoint=False)
                parts.append(pd.DataFrame({**cell, "bin_low": lows, "count": found}))
        if parts:
            table = pd.concat(parts)
            groups = table.groupby(["method", "by", "bin_low"], sort=False)
            table = groups.agg(count=("count", "sum"), n_seeds=("seed", "nunique")).reset_index()
            yield name, table.assign(sampler=table["method"], pool=pool.title)


@figure(collect_random_pairs, size=collapse_size, needs=["random_pairs"])
def random_pairs(table: pd.DataFrame, ax: Axes) -> Axes:
    """Similarities of random texts, untrained and trained: the picture of collapse."""
    for method, style in looks(table).items():
        part = table[table["method"] == method]
        width = float(np.diff(part["bin_low"]).mean())
        density = part["count"] / part["count"].sum() / width
        middle = part["bin_low"] + width / 2
        if method == UNTRAINED:
            ax.fill_between(middle, density, color="0.75", linewidth=0, label="untrained")
        else:
            ax.plot(middle, density, color=style.colour, linestyle=style.dash, label=method)
    seen = table.loc[table["count"] > 0, "bin_low"]
    ax.set_xlim(float(seen.min()), 1.0)
    ax.set_ylim(bottom=0)
    ax.set(xlabel="similarity of two random texts (cosine)", ylabel="density")
    return drawing.finish(
        ax,
        table,
        title="Random pairs before and after",
        caption=f"{shown(table)}; all pairs of the texts of the test",
        entries=table["method"].nunique(),
    )


def numbered(
    material: drawing.Material, task: str, metric: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, the scores of a task whose metrics hold a number ``k``, by it and over seeds."""
    for name, pool in drawing.each_pool(material):
        rows = material.extra_scores
        rows = rows[rows["task"] == task]
        if rows.empty:
            continue
        rows = rows[["key", "metric", "value"]].merge(named(pool), on="key")
        if rows.empty:
            continue
        rows = rows.assign(k=rows["metric"].str.extract(metric, expand=False).astype(int))
        keys = ["method", "by", "k"]
        table = drawing.over_seeds(rows.groupby([*keys, "seed"])["value"].mean(), keys)
        yield name, table.assign(sampler=table["method"], pool=pool.title)


def lines_over_k(table: pd.DataFrame, ax: Axes, *, title: str, **scale: Any) -> Axes:
    """Draw one line per method of what `numbered` gives; ``scale`` is that of ``set_xscale``."""
    for method, style in looks(table).items():
        part = table[table["method"] == method].sort_values("k")
        label = "untrained" if method == UNTRAINED else method
        drawing.banded_line(ax, part["k"], part, style, scale=100, label=label)
    ticks = sorted(table["k"].unique())
    ax.set_xscale(**scale)
    ax.set_xticks(ticks, [f"{k}" for k in ticks])
    ax.minorticks_off()
    return drawing.finish(
        ax,
        table,
        title=title,
        caption=f"{shown(table)}, band: lowest to highest",
        entries=table["method"].nunique(),
    )


@figure(
    partial(numbered, task="frequent_tokens", metric=r"without_(\d+)"),
    size=collapse_size,
    needs=["extra_scores"],
)
def frequent_tokens(table: pd.DataFrame, ax: Axes) -> Axes:
    """Score when the most frequent tokens are left out of the mean, before and after."""
    ax.set(xlabel="most frequent tokens left out of the mean", ylabel="Spearman correlation x 100")
    title = "Does the mean hang on frequent tokens?"
    return lines_over_k(table, ax, title=title, value="symlog", linthresh=4)


def collect_alignment_uniformity(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, alignment of the views and uniformity of the probe by step, over seeds."""
    for name, pool in drawing.each_pool(material):
        part = material.difficulty.merge(named(pool)[["key", "method", "by"]], on="key")
        spread = part[part["quantity"] == "probe_uniformity"]
        close = part[part["quantity"] == "positive_similarity"]
        if spread.empty or close.empty:
            continue
        columns = ["key", "step", "mean"]
        both = pd.merge_asof(
            spread[["method", "by", "seed", *columns]].sort_values("step"),
            close[columns].sort_values("step"),
            on="step",
            by="key",
            direction="nearest",
            suffixes=("_uniformity", "_similarity"),
        )
        both["alignment"] = 2 - 2 * both["mean_similarity"]
        groups = both.groupby(["method", "by", "step"], sort=False)
        table = groups.agg(
            uniformity=("mean_uniformity", "mean"),
            alignment=("alignment", "mean"),
            n_seeds=("seed", "nunique"),
        ).reset_index()
        yield name, table.assign(sampler=table["method"], pool=pool.title)


@figure(collect_alignment_uniformity, size=collapse_size, needs=["difficulty"])
def alignment_uniformity(table: pd.DataFrame, ax: Axes) -> Axes:
    """Alignment of the views against uniformity, from start to end of training."""
    for method, style in looks(table).items():
        part = table[table["method"] == method].sort_values("step")
        x, y = part["uniformity"].to_numpy(), part["alignment"].to_numpy()
        ax.plot(x, y, color=style.colour, linestyle=style.dash, label=method)
        ax.plot(x[1:], y[1:], color=style.colour, marker=style.marker, linestyle="")
        ax.plot(x[:1], y[:1], color=style.colour, marker=style.marker, markerfacecolor="white")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_xlabel("uniformity of the probe's texts (log potential)")
    ax.set_ylabel("alignment of the views\n(squared distance)")
    return drawing.finish(
        ax,
        table,
        title="Alignment and uniformity over training",
        caption=f"{shown(table)}; hollow: start, a mark per quarter; lower is better on both",
        entries=table["method"].nunique(),
    )
