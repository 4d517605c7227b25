"""Pictures that weigh samplers: rank over tasks with critical differences, and cost for quality."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from nsbench.analysis.figures import differences, drawing
from nsbench.analysis.figures.cast import Cast
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import looks
from nsbench.analysis.statistics import comparisons
from nsbench.analysis.statistics.stats import Array, seed_means
from nsbench.analysis.tables.leaderboard import POINTS
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.pools import marginal
from nsbench.analysis.tables.ranks import ALPHA

COST_LABELS = {
    "encodes": "sentences encoded per cell",
    "wall_s": "wall time per cell (s)",
    "tokens_seen": "tokens per cell",
}

LEAST_TASKS = 6
"""Tasks from which mean ranks are tested."""


def collect_ranks(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, mean rank of each sampler over tasks, and the groups of Nemenyi's test.

    Scores are means over seeds and over the augmentations that all samplers have; samplers without
    a score on every task are left out. Needs three samplers and `LEAST_TASKS` tasks: with fewer,
    Nemenyi's test has no power.
    """
    for name, pool in drawing.each_pool(material):
        averaged = marginal(pool)
        seeds = ~np.isnan(seed_means(averaged.scores))  # (M, S)
        kept = np.flatnonzero(seeds.any(axis=1))
        if len(kept) < 3 or len(pool.tasks) < LEAST_TASKS:
            continue
        scores = np.array([averaged.scores[i][seeds[i]].mean(axis=0) for i in kept])  # (M, T)
        rank = pd.DataFrame(-scores).rank(axis=0).mean(axis=1).to_numpy()
        p = comparisons.nemenyi_p(scores)
        order = np.argsort(rank, kind="stable")
        methods = pd.DataFrame([averaged.methods[i] for i in kept])
        table = methods[["sampler"]].assign(label=method_names(methods), mean_rank=rank)
        table["mean"] = POINTS * scores.mean(axis=1)
        table["n_seeds"] = seeds[kept].sum(axis=1)
        table = table.iloc[order].assign(
            group=_runs(p, order),
            n_tasks=len(pool.tasks),
            friedman_p=comparisons.friedman_p(scores),
            pool=pool.title,
        )
        yield name, table


@figure(collect_ranks, size=drawing.rows_size)
def critical_difference(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean rank over tasks, and bars over samplers that Nemenyi's test does not distinguish."""
    table = table.reset_index(drop=True)
    worst, own = len(table), looks(table["sampler"])
    for place, row in enumerate(table.to_dict("records")):
        style = own[row["sampler"]]
        ax.plot([1, row["mean_rank"]], [place, place], color="0.85", linewidth=0.7, zorder=1)
        ax.plot(row["mean_rank"], place, style.marker, color=style.colour)
    bars = sorted({letter for text in table["group"] for letter in text.split()})
    for column, letter in enumerate(bars):
        rows = [i for i, text in enumerate(table["group"]) if letter in text.split()]
        if len(rows) > 1:
            x = 1.03 + 0.035 * column
            ax.plot(
                [x, x],
                [rows[0] - 0.25, rows[-1] + 0.25],
                transform=ax.get_yaxis_transform(),
                color="0.2",
                linewidth=2,
                clip_on=False,
                solid_capstyle="butt",
            )
    drawing.name_rows(ax, drawing.row_labels(table["label"]))
    ax.set_xlim(1 - 0.03 * worst, 1.03 * worst)
    ax.set_xlabel("mean rank over tasks (1 is best)")
    return drawing.finish(
        ax,
        table,
        title="Critical differences",
        caption="Bars join samplers that do not differ significantly over tasks "
        f"(Nemenyi, {ALPHA:.0%}); Friedman p = {table['friedman_p'].iloc[0]:.2g}; "
        f"{drawing.counts(table)}",
    )


def collect_cost(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and unit of cost that differs, one row per sampler, mean over augmentations."""
    for (name, pool), statistics in zip(
        drawing.each_pool(material), material.board.pools, strict=True
    ):
        rows = differences.averaged_rows(material, pool)
        for cost in COST_LABELS:
            if cost not in rows or rows[cost].nunique() < 2:
                continue
            table = differences.difference_columns(rows[rows[cost].notna()], statistics)
            yield (
                drawing.joined(cost, name),
                table.assign(cost=rows[cost], unit=cost, pool=pool.title),
            )


@figure(collect_cost)
def cost_quality(table: pd.DataFrame, ax: Axes) -> Axes:
    """Difference to the baseline against sentences encoded, tokens and seconds."""
    cast = Cast.by(table, "mean")
    window = differences.Window.of(table, "shown")
    for part, style, line in cast.drawn(table):
        window.dots(ax, part["cost"], part, style, upright=True, **line)
    unit = str(table["unit"].iloc[0])
    ax.set_xlabel(COST_LABELS.get(unit, unit))
    if table["cost"].min() > 0 and table["cost"].max() > 10 * table["cost"].min():
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,.9g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
        ax.xaxis.set_major_formatter("{x:,.9g}")
    ax.margins(0.08)
    window.limits(ax, upright=True)
    ax.set_ylabel(differences.shown_label(table))
    return drawing.finish(
        ax,
        table,
        title="Quality against cost",
        caption=f"{differences.interval_words(table)}one dot per sampler, {len(table)} dots; "
        f"{drawing.counts(table)}{window.note(table)}{cast.note}",
        entries=len(cast.named),
    )


def _runs(p: Array, order: NDArray[np.int64]) -> list[str]:
    """Return the bars of each method, in order of rank, as text."""
    runs = comparisons.letter_runs(np.asarray(p) <= ALPHA, order)
    return [" ".join(f"g{k}" for k in runs[m]) for m in order]
