"""Pictures of difficulty at the end of training: gradient shares, histograms, drift, truth."""

import re
import textwrap
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nsbench.analysis.figures import drawing
from nsbench.analysis.figures.cast import Cast
from nsbench.analysis.figures.differences import (
    Window,
    difference_columns,
    interval_words,
    shown_label,
)
from nsbench.analysis.figures.difficulty import UNITS
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import COLUMN_WIDTH, DASHES, SOLID, look
from nsbench.analysis.read.difficulty import histogram_window
from nsbench.analysis.tables.pools import Pool
from nsbench.analysis.tables.predictors import LAST, late_rows, late_values, predictor_table

_SHARE = re.compile(r"gradient_share_([\d.]+)")
_VECTOR = re.compile(r"gradient_vector_share_([\d.]+)")
_RIDGES = {"positive_similarity": "positive", "chosen_similarity": "chosen negatives"}
_HEIGHT = 0.85
_STATISTICS_SHOWN = 20
_NAME_WIDTH = 27


def collect_shares(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, share of the gradient by hardest x %, mean over the last quarter.

    One picture of the shares of the gradient, one of the gradient as a vector.
    """
    for name, pool, part in _late(material):
        for kind, pattern in (("", _SHARE), ("vector", _VECTOR)):
            rows = part[part["quantity"].str.fullmatch(pattern.pattern)].dropna(subset=["mean"])
            if rows.empty:
                continue
            percent = rows["quantity"].str.extract(pattern, expand=False).astype(float)
            rows = rows.assign(percent=percent)
            seeds = rows.groupby(["sampler", "percent", "seed"])["mean"].mean()
            table = drawing.over_seeds(seeds, ["sampler", "percent"])
            yield drawing.joined(kind, name), table.assign(kind=kind or "weight", pool=pool.title)


@figure(collect_shares, needs=["difficulty"])
def gradient_share(table: pd.DataFrame, ax: Axes) -> Axes:
    """Share of the gradient that the hardest x % carry."""
    percents = sorted(table["percent"].unique())
    ax.plot(percents, percents, color="0.6", linestyle=":", label="equal weights")
    cast = Cast.by(table, "mean")
    for part, style, line in cast.drawn(table):
        ax.plot(part["percent"], 100 * part["mean"], **style.line, **line)
    ax.set_xscale("log")
    ax.set_xticks(percents, [f"{p:g}" for p in percents])
    ax.minorticks_off()
    ax.set_xlabel("hardest of the chosen negatives (percent)")
    if table["kind"].iloc[0] == "vector":
        ax.set_ylabel("length of their pull over\nthat of all (percent)")
        title = "How far the hardest pull"
    else:
        ax.set_ylabel("share of the negatives'\ngradient (percent)")
        title = "How much the hardest weigh"
    caption = f"{drawing.counts(table)}; mean over the last quarter{cast.note}"
    return drawing.finish(ax, table, title=title, caption=caption, entries=len(cast.named) + 1)


def collect_false(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, false-negative rate among the chosen and the score, one row per sampler."""
    statistics = {s.title: s for s in material.board.pools}
    for name, pool, part in _late(material):
        rates = part[part["quantity"] == "false_negative"].dropna(subset=["mean"])
        if rates.empty:
            continue
        keys = ["sampler", "augmentation"]
        rows = drawing.board_rows(material, pool).drop_duplicates(keys, keep=False)
        rows = difference_columns(rows, statistics[pool.title])
        seeds = rates.groupby([*keys, "seed"])["mean"].mean()
        spread = seeds.groupby(level=keys).agg(["mean", "min", "max"])
        both = rows.merge(spread.add_prefix("rate_").reset_index(), on=keys)
        if len(both) > 1:
            yield name, both.assign(pool=pool.title)


@figure(collect_false, needs=["difficulty"])
def false_negative_vs_score(table: pd.DataFrame, ax: Axes) -> Axes:
    """Difference to the baseline against false negatives among the chosen."""
    cast = Cast.by(table, "shown")
    window = Window.of(table, "shown")
    for part, style, line in cast.drawn(table):
        rate, low, high = (100 * part[f"rate_{name}"] for name in ("mean", "min", "max"))
        near = ~window.outside(part)
        ax.hlines(part.loc[near, "shown"], low[near], high[near], style.colour, linewidth=0.7)
        window.dots(ax, rate, part, style, upright=True, **line)
    ax.set(xlabel="false negatives among the chosen (percent)", ylabel=shown_label(table))
    ax.margins(0.08)
    window.limits(ax, upright=True)
    text = (
        cast.note
        + drawing.rank_correlation(table["rate_mean"], table["shown"])
        + window.note(table)
    )
    return drawing.finish(
        ax,
        table,
        title="Score against false negatives",
        caption=f"{interval_words(table)}across: lowest to highest seed, mean over the last "
        f"quarter; {drawing.counts(table)}{text}",
        entries=len(cast.named),
    )


def collect_ridges(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and sampler, similarity histograms of the first step and of the last window."""
    for name, pool in drawing.each_pool(material):
        parts = []
        for cell in pool.cells.to_dict("records"):
            counted = material.histograms.get(str(cell["key"]))
            if counted is None:
                continue
            for moment, window in histogram_window(counted).items():
                kept = window[window["quantity"].isin(_RIDGES)]
                parts.append(kept.assign(sampler=cell["sampler"], seed=cell["seed"], moment=moment))
        if not parts:
            continue
        table = pd.concat(parts, ignore_index=True)
        keys = ["sampler", "quantity", "moment", "bin_low"]
        sums = table.groupby(keys, sort=True)["count"].sum().reset_index()
        sums["n_seeds"] = sums["sampler"].map(table.groupby("sampler")["seed"].nunique())
        yield name, sums.assign(pool=pool.title)


@figure(
    collect_ridges,
    size=lambda table: (COLUMN_WIDTH, 1.4 + 0.34 * table["sampler"].nunique()),
    needs=["histograms"],
)
def similarity_ridge(table: pd.DataFrame, ax: Axes) -> Axes:
    """Similarities of positives and chosen negatives before and after training."""
    samplers = list(dict.fromkeys(table["sampler"]))
    lows = np.sort(table["bin_low"].unique())
    width = float(np.diff(lows).min())
    counted = table.set_index(["sampler", "quantity", "moment", "bin_low"])["count"].sort_index()
    x = lows + width / 2
    bases = range(len(samplers) - 1, -1, -1)
    for (base, sampler), quantity in product(zip(bases, samplers, strict=True), _RIDGES):
        colour = "0.1" if quantity == "positive_similarity" else look(sampler).colour
        for moment, dash in (("before", DASHES[2]), ("after", SOLID)):
            if (sampler, quantity, moment) not in counted.index:
                continue
            part = counted.loc[(sampler, quantity, moment)]
            density = part.reindex(lows, fill_value=0.0).to_numpy()
            if not density.max(initial=0):
                continue
            height = base + _HEIGHT * density / density.max()
            if moment == "after":
                ax.fill_between(x, base, height, color=colour, alpha=0.3, linewidth=0)
            ax.plot(x, height, color=colour, linewidth=0.8, linestyle=dash)
    filled = table.loc[table["count"] > 0, "bin_low"]
    ax.set_xlim(float(filled.min()) - width, min(1.0, float(filled.max()) + 2 * width))
    ax.set_yticks(range(len(samplers)), drawing.row_labels(reversed(samplers)))
    ax.set_ylim(-0.15, len(samplers))
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("similarity to the anchor (cosine)")
    return drawing.finish(
        ax,
        table,
        title="Similarities before and after",
        caption=f"{drawing.counts(table)}. Black: positives, colour: chosen negatives, all pairs "
        "counted; dotted: first step, filled: last window; each scaled to its peak",
    )


def collect_predictors(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, the strongest correlations of a difficulty statistic with the score."""
    late = late_values(material.difficulty)
    for name, pool in drawing.each_pool(material):
        table = predictor_table(pool, late).head(_STATISTICS_SHOWN)
        if not table.empty:
            yield name, table.assign(sampler=table["quantity"])


@figure(collect_predictors, size=drawing.rows_size, needs=["difficulty"])
def predictors(table: pd.DataFrame, ax: Axes) -> Axes:
    """Rank correlation of every difficulty statistic with the score."""
    rows = np.arange(len(table))
    for shift, columns, marker, sampler, label in (
        (-0.15, ("rho", "low", "high"), "o", "in_batch", "over all cells"),
        (0.15, ("rho_within", "within_low", "within_high"), "s", "band", "within samplers"),
    ):
        part = table[columns[0]].notna()
        if part.any():
            x, low, high = (table.loc[part, column] for column in columns)
            ends = [(x - low).clip(lower=0), (high - x).clip(lower=0)]
            dots = look(sampler).dots | {"marker": marker}
            ax.errorbar(x, rows[part] + shift, xerr=ends, elinewidth=0.8, label=label, **dots)
    ax.axvline(0, color="0.5", linewidth=0.8)
    names = [UNITS.get(q, q.replace("_", " ")).partition(" (")[0] for q in table["quantity"]]
    drawing.name_rows(ax, [textwrap.shorten(n, _NAME_WIDTH, placeholder=" ...") for n in names])
    ax.set_xlim(-1.03, 1.03)
    ax.set_xlabel("Spearman's correlation\nwith the score")
    n, methods = int(table["n_cells"].max()), int(table["n_methods"].max())
    return drawing.finish(
        ax,
        table,
        title="Difficulty and score",
        caption=f"n = up to {n} cells of {methods} methods; mean from {100 * LAST:g} % of "
        "training on; bars: 95 % (Fisher)",
        entries=2,
    )


def collect_drift(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, drift of the probe's texts since the start: mean over seeds, by step."""
    moved = material.difficulty["quantity"] == "probe_drift_from_start"
    for name, pool in drawing.each_pool(material):
        part = drawing.of_cells(material.difficulty[moved], pool).dropna(subset=["mean"])
        if not part.empty:
            seeds = part.groupby(["sampler", "step", "seed"])["mean"].mean()
            yield name, drawing.over_seeds(seeds, ["sampler", "step"]).assign(pool=pool.title)


@figure(collect_drift, needs=["difficulty"])
def drift(table: pd.DataFrame, ax: Axes) -> Axes:
    """Distance of a fixed set of texts from where they started."""
    cast = Cast.by(table, "mean")
    for part, style, line in cast.drawn(table):
        drawing.banded_line(ax, part["step"], part, style, **line)
    ax.set(xlabel="step (optimizer updates)", ylabel="1 - cosine to the start")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return drawing.finish(
        ax,
        table,
        title="How far the probe's texts moved",
        caption=f"{drawing.counts(table)}, band: lowest to highest{cast.note}",
        entries=len(cast.named),
    )


def _late(material: drawing.Material) -> Iterator[tuple[str, Pool, pd.DataFrame]]:
    """Per pool with any, difficulty of the last quarter of each cell."""
    late = late_rows(material.difficulty)
    for name, pool in drawing.each_pool(material):
        part = drawing.of_cells(late, pool)
        if not part.empty:
            yield name, pool, part
