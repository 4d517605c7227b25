"""Pictures of what difficulty statistics add up to: gradient shares, histograms, drift, truth."""

import re
import textwrap
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats as scipy_stats

from nsbench.analysis.figures.cast import Cast
from nsbench.analysis.figures.difficulty import UNITS
from nsbench.analysis.figures.drawing import (
    Material,
    banded_line,
    caption,
    counts,
    each_pool,
    legend,
    over_seeds,
    shorten,
    title,
)
from nsbench.analysis.figures.style import COLUMN_WIDTH, look
from nsbench.analysis.read.difficulty import histogram_window
from nsbench.analysis.tables.predictors import LAST, late_values, predictor_table

_SHARE = re.compile(r"gradient_share_([\d.]+)")
_VECTOR = re.compile(r"gradient_vector_share_([\d.]+)")
_RIDGES = {"positive_similarity": "positive", "chosen_similarity": "chosen negatives"}
_HEIGHT = 0.85
_STATISTICS_SHOWN = 20
_NAME_WIDTH = 27


def collect_shares(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, share of the gradient by hardest x %, mean over the last quarter.

    One picture of the shares of softmax weight, one of the gradient as a vector.
    """
    for name, part in _late(material):
        for kind, pattern in (("", _SHARE), ("vector", _VECTOR)):
            rows = part[part["quantity"].str.fullmatch(pattern.pattern)].dropna(subset=["mean"])
            if rows.empty:
                continue
            percent = rows["quantity"].str.extract(pattern, expand=False).astype(float)
            rows = rows.assign(percent=percent)
            seeds = rows.groupby(["sampler", "percent", "seed"])["mean"].mean()
            table = over_seeds(seeds, ["sampler", "percent"])
            detail = " ".join(filter(None, (kind, name)))
            yield detail, table.assign(kind=kind or "weight", pool=part["pool"].iloc[0])


def gradient_share(table: pd.DataFrame, ax: Axes) -> Axes:
    """One line per sampler, hardest on the left; the grey line is that of equal weights.

    Args:
        table: As `collect_shares` makes it.
        ax: Where to draw.
    """
    percents = sorted(table["percent"].unique())
    ax.plot(percents, percents, color="0.6", linestyle=":", label="equal weights")
    cast = Cast.by(table, "mean")
    for sampler in cast.order:
        part, style = table[table["sampler"] == sampler], cast.look(sampler)
        ax.plot(
            part["percent"],
            100 * part["mean"],
            color=style.colour,
            marker=style.marker,
            linestyle=style.dash,
            **cast.line(sampler),
        )
    ax.set_xscale("log")
    ax.set_xticks(percents, [f"{p:g}" for p in percents])
    ax.minorticks_off()
    ax.set_xlabel("hardest of the chosen negatives (percent)")
    if table["kind"].iloc[0] == "vector":
        ax.set_ylabel("length of their pull over\nthat of all (percent)")
        title(ax, "How far the hardest pull")
    else:
        ax.set_ylabel("share of the negatives'\nsoftmax weight (percent)")
        title(ax, "How much the hardest weigh")
    legend(ax, len(cast.named) + 1)
    caption(ax, f"{counts(table)}; mean over the last quarter{cast.note}. {table['pool'].iloc[0]}")
    return ax


def collect_false(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, false-negative rate among the chosen beside the score, one row per sampler."""
    for name, part in _late(material):
        rates = part[part["quantity"] == "false_negative"].dropna(subset=["mean"])
        if rates.empty:
            continue
        rows = material.board.rows
        rows = rows[(rows["pool"] == part["pool"].iloc[0]) & rows["mean"].notna()]
        rows = rows.drop_duplicates(["sampler", "augmentation"], keep=False)
        columns = ["sampler", "augmentation", "mean", "ci_low", "ci_high", "n_seeds", "n_tasks"]
        seeds = rates.groupby(["sampler", "augmentation", "seed"])["mean"].mean()
        groups = seeds.groupby(level=["sampler", "augmentation"])
        spread = groups.agg(["mean", "min", "max"]).add_prefix("rate_").reset_index()
        both = rows[columns].merge(spread, on=["sampler", "augmentation"])
        if len(both) > 1:
            yield name, both.assign(pool=part["pool"].iloc[0])


def false_negative_vs_score(table: pd.DataFrame, ax: Axes) -> Axes:
    """One dot per sampler and augmentation, with the t interval of the score.

    Args:
        table: As `collect_false` makes it.
        ax: Where to draw.
    """
    cast = Cast.by(table, "mean")
    for sampler in cast.order:
        part, style = table[table["sampler"] == sampler], cast.look(sampler)
        ax.errorbar(
            100 * part["rate_mean"],
            part["mean"],
            xerr=100
            * np.array(
                [part["rate_mean"] - part["rate_min"], part["rate_max"] - part["rate_mean"]]
            ),
            yerr=[part["mean"] - part["ci_low"], part["ci_high"] - part["mean"]],
            color=style.colour,
            marker=style.marker,
            linestyle="none",
            elinewidth=0.7,
            **cast.line(sampler),
        )
    ax.set_xlabel("false negatives among the chosen (percent)")
    ax.set_ylabel("mean score (points)")
    ax.margins(0.08)
    title(ax, "Score against false negatives")
    legend(ax, len(cast.named))
    text = cast.note
    if len(table) > 2 and table["rate_mean"].nunique() > 1 and table["mean"].nunique() > 1:
        rho = scipy_stats.spearmanr(table["rate_mean"], table["mean"]).statistic
        text += f"; Spearman's rank correlation {rho:+.2f}"
    caption(
        ax,
        f"{counts(table)}{text}; across: lowest to highest seed, mean over the last quarter; "
        f"upright: 95 % t interval. {table['pool'].iloc[0]}",
    )
    return ax


def collect_ridges(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and sampler, similarity histograms of the first step and of the last window."""
    for name, pool in each_pool(material):
        parts = []
        for cell in pool.cells.to_dict("records"):
            paths = material.histograms.get(str(cell["key"]))
            if paths is None:
                continue
            for moment, window in histogram_window(paths).items():
                kept = window[window["quantity"].isin(_RIDGES)]
                parts.append(kept.assign(sampler=cell["sampler"], seed=cell["seed"], moment=moment))
        if not parts:
            continue
        table = pd.concat(parts, ignore_index=True)
        keys = ["sampler", "quantity", "moment", "bin_low"]
        sums = table.groupby(keys, sort=True)["count"].sum().reset_index()
        sums["n_seeds"] = sums["sampler"].map(table.groupby("sampler")["seed"].nunique())
        yield name, sums.assign(pool=pool.title)


def similarity_ridge(table: pd.DataFrame, ax: Axes) -> Axes:
    """One ridge per sampler: outlines before, filled after; positives in black above negatives.

    Args:
        table: As `collect_ridges` makes it.
        ax: Where to draw.
    """
    samplers = list(dict.fromkeys(table["sampler"]))
    lows = np.sort(table["bin_low"].unique())
    width = float(np.diff(lows).min())
    for place, sampler in enumerate(samplers):
        base = len(samplers) - 1 - place
        for quantity in _RIDGES:
            colour = "0.1" if quantity == "positive_similarity" else look(sampler).colour
            for moment in ("before", "after"):
                part = table[
                    (table["sampler"] == sampler)
                    & (table["quantity"] == quantity)
                    & (table["moment"] == moment)
                ].set_index("bin_low")["count"]
                density = part.reindex(lows, fill_value=0.0).to_numpy()
                if not density.max(initial=0):
                    continue
                height = base + _HEIGHT * density / density.max()
                x = lows + width / 2
                if moment == "before":
                    ax.plot(x, height, color=colour, linewidth=0.8, linestyle=(0, (1.5, 1.2)))
                else:
                    ax.fill_between(x, base, height, color=colour, alpha=0.3, linewidth=0)
                    ax.plot(x, height, color=colour, linewidth=0.8)
    filled = table.loc[table["count"] > 0, "bin_low"]
    ax.set_xlim(float(filled.min()) - width, min(1.0, float(filled.max()) + 2 * width))
    ax.set_yticks(range(len(samplers)), [shorten(s) for s in reversed(samplers)])
    ax.set_ylim(-0.15, len(samplers))
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("similarity to the anchor (cosine)")
    title(ax, "Similarities before and after")
    caption(
        ax,
        f"{counts(table)}. Black: positives, colour: chosen negatives, all pairs counted; dotted: "
        f"first step, filled: last window; each scaled to its peak. {table['pool'].iloc[0]}",
    )
    return ax


def ridge_size(table: pd.DataFrame) -> tuple[float, float]:
    """One column wide, higher with more samplers."""
    return COLUMN_WIDTH, 1.4 + 0.34 * table["sampler"].nunique()


def collect_predictors(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, the strongest correlations of a difficulty statistic with the score."""
    late = late_values(material.difficulty)
    for name, pool in each_pool(material):
        table = predictor_table(pool, late).head(_STATISTICS_SHOWN)
        if not table.empty:
            yield name, table.assign(sampler=table["quantity"])


def predictors(table: pd.DataFrame, ax: Axes) -> Axes:
    """Correlation with the score and its interval: over all cells, and within samplers.

    Args:
        table: As `collect_predictors` makes it.
        ax: Where to draw.
    """
    rows = np.arange(len(table))
    for shift, value, low, high, marker, colour, word in (
        (-0.15, "rho", "low", "high", "o", look("in_batch").colour, "over all cells"),
        (
            0.15,
            "rho_within",
            "within_low",
            "within_high",
            "s",
            look("band").colour,
            "within samplers",
        ),
    ):
        part = table[value].notna()
        if not part.any():
            continue
        x = table.loc[part, value]
        ax.errorbar(
            x,
            rows[part] + shift,
            xerr=[
                (x - table.loc[part, low]).clip(lower=0),
                (table.loc[part, high] - x).clip(lower=0),
            ],
            linestyle="none",
            marker=marker,
            color=colour,
            elinewidth=0.8,
            label=word,
        )
    ax.axvline(0, color="0.5", linewidth=0.8)
    names = [UNITS.get(q, q.replace("_", " ")).partition(" (")[0] for q in table["quantity"]]
    ax.set_yticks(rows, [textwrap.shorten(n, _NAME_WIDTH, placeholder=" ...") for n in names])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(-1.03, 1.03)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("Spearman's correlation\nwith the score")
    title(ax, "Difficulty and score")
    legend(ax, 2)
    n, methods = int(table["n_cells"].max()), int(table["n_methods"].max())
    caption(
        ax,
        f"n = up to {n} cells of {methods} methods; mean from {100 * LAST:g} % of training on; "
        f"bars: 95 % (Fisher). {table['pool'].iloc[0]}",
    )
    return ax


def collect_drift(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, drift of the probe's texts since the start: mean over seeds, by step."""
    for name, pool in each_pool(material):
        part = material.difficulty.merge(pool.cells[["key"]].drop_duplicates(), on="key")
        part = part[part["quantity"] == "probe_drift_from_start"].dropna(subset=["mean"])
        if part.empty:
            continue
        seeds = part.groupby(["sampler", "step", "seed"])["mean"].mean()
        yield name, over_seeds(seeds, ["sampler", "step"]).assign(pool=pool.title)


def drift(table: pd.DataFrame, ax: Axes) -> Axes:
    """One line per sampler: how far the probe's texts moved; the band spans the seeds.

    Args:
        table: As `collect_drift` makes it.
        ax: Where to draw.
    """
    cast = Cast.by(table, "mean")
    for sampler in cast.order:
        part, style = table[table["sampler"] == sampler], cast.look(sampler)
        banded_line(ax, part["step"], part, style, **cast.line(sampler))
    ax.set_xlabel("step (optimizer updates)")
    ax.set_ylabel("1 - cosine to the start")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    title(ax, "How far the probe's texts moved")
    legend(ax, len(cast.named))
    caption(ax, f"{counts(table)}, band: lowest to highest{cast.note}. {table['pool'].iloc[0]}")
    return ax


def _late(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, difficulty of the last quarter of each cell, with the pool's title."""
    table = material.difficulty
    last = table.groupby("key")["step"].transform("max") if len(table) else table["step"]
    late = table[table["step"] >= LAST * last]
    for name, pool in each_pool(material):
        part = late.merge(pool.cells[["key"]].drop_duplicates(), on="key")
        if not part.empty:
            yield name, part.assign(pool=pool.title)
