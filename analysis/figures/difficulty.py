"""Pictures of what samplers fed the model: over training, and against the score it led to."""

import difflib
import re
import textwrap
from collections.abc import Collection, Iterator
from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats as scipy_stats

from nsbench.analysis.figures.cast import MOST, Cast
from nsbench.analysis.figures.drawing import (
    Material,
    banded_line,
    caption,
    counts,
    each_pool,
    legend,
    legend_columns,
    over_seeds,
    shorten,
    title,
)
from nsbench.analysis.figures.style import COLUMN_WIDTH, look
from nsbench.analysis.tables.pools import Pool

MAIN_QUANTITIES = (
    "chosen_similarity",
    "chosen_percentile",
    "margin",
    "effective_negatives",
    "false_negative",
)
"""Drawn unless others are asked for."""
UNITS = {
    "positive_similarity": "similarity of the positive (cosine)",
    "candidate_similarity": "similarity of all candidates (cosine)",
    "chosen_similarity": "similarity of the chosen (cosine)",
    "chosen_percentile": "percentile of the chosen (0 hardest, 1 easiest)",
    "margin": "positive less chosen (cosine)",
    "violation": "chosen above the positive (share)",
    "effective_negatives": "effective negatives (count per anchor)",
    "chosen_count": "negatives chosen (count per anchor)",
    "false_negative": "false negatives among the chosen (share)",
    "loss": "loss (nats)",
    "mined_percentile": "percentile of the mined (0 hardest, 1 easiest)",
    "mined_recall": "today's mined already among yesterday's (share)",
    "mined_drop": "similarity now less when mined (cosine)",
    "stored_drift": "stored from today's embedding (1 - cosine)",
    "stored_recognised": "stored nearest to their own text (share)",
    "own_masked": "own negatives that the mask's rule hits (share)",
}
"""Words and unit of known quantities; any other is named as it is stored."""


def wanted(material: Material) -> list[str]:
    """The quantities to draw: those asked for, else the main ones, else what there is.

    Raises:
        ValueError: If one is asked for that no cell has; the message names all there are.
    """
    known = sorted(str(q) for q in material.difficulty["quantity"].unique())
    if "all" in material.quantities:
        return known
    for name in material.quantities:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"no cell has the quantity {name!r}.{hint} Known: {', '.join(known)}")
    main = [q for q in MAIN_QUANTITIES if q in known]
    return list(material.quantities) or main or known


def axis_label(quantity: str) -> str:
    """Name and unit of a quantity."""
    return UNITS.get(quantity, quantity.replace("_", " "))


STALENESS = ("mined_percentile", "mined_recall", "mined_drop", "stored_drift", "stored_recognised")


def pooled(
    material: Material, pool: Pool, quantities: Collection[str] | None = None
) -> pd.DataFrame:
    """Difficulty of one pool, one row per method, seed, step and quantity.

    Args:
        material: Where from.
        pool: The pool.
        quantities: Which; those that `wanted` names without it.

    Returns:
        Columns ``sampler, augmentation, untrained, seed, step, quantity, value``, without NaN.
    """
    cells = pool.cells[["key", "method", "untrained"]]
    table = material.difficulty.merge(cells, on="key", how="inner")
    table = table.rename(columns={"mean": "value"}).dropna(subset=["value"])
    named = wanted(material) if quantities is None else quantities
    table = table[table["quantity"].isin(named)]
    columns = ["sampler", "augmentation", "untrained", "seed", "step", "quantity", "value"]
    return table[columns]


def collect_curves(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and quantity: mean over augmentations that all have, then spread over seeds."""
    for name, pool in each_pool(material):
        yield from _curves(name, pool, pooled(material, pool))


def collect_staleness(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """The same of what says how old a pool's candidates are, for cells whose pool keeps any."""
    both = {"mined_similarity", "mined_similarity_then"}
    for name, pool in each_pool(material):
        table = pooled(material, pool, {*STALENESS, *both})
        keys = [c for c in table.columns if c not in ("quantity", "value")]
        pairs = table[table["quantity"].isin(both)]
        wide = pairs.pivot_table(index=keys, columns="quantity", values="value").reset_index()
        if both <= set(wide.columns):
            gone = wide["mined_similarity"] - wide["mined_similarity_then"]
            table = pd.concat([table, wide[keys].assign(quantity="mined_drop", value=gone)])
        yield from _curves(name, pool, table[table["quantity"].isin(STALENESS)])


def _curves(name: str, pool: Pool, table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for quantity, part in table.groupby("quantity", sort=True):
        common, part = _common_augmentations(part)
        seeds = part.groupby(["sampler", "seed", "step"], sort=True)["value"].mean()
        curve = over_seeds(seeds, ["sampler", "step"])
        yield (
            " ".join(filter(None, (str(quantity), name))),
            curve.assign(quantity=quantity, augmentations=common, pool=pool.title),
        )


def difficulty_curves(table: pd.DataFrame, ax: Axes) -> Axes:
    """One line per sampler over training; the band spans lowest and highest seed.

    Args:
        table: As `collect_curves` makes it.
        ax: Where to draw.
    """
    last = table.sort_values("step", kind="stable").groupby("sampler", sort=True)["mean"].last()
    cast = Cast.of(last.sort_values(ascending=False, kind="stable").index)
    for place, sampler in enumerate(cast.order):
        curve = table[table["sampler"] == sampler]
        style = cast.look(sampler)
        every = max(1, ceil(len(curve) / 5))
        marks = (place % every, every)
        banded_line(ax, curve["step"], curve, style, markevery=marks, **cast.line(sampler))
    quantity = str(table["quantity"].iloc[0])
    ax.set_xlabel("step (optimizer updates)")
    ax.set_ylabel(textwrap.fill(axis_label(quantity), 28))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    title(ax, f"{quantity.replace('_', ' ').capitalize()} over training")
    legend(ax, len(cast.named))
    augmentations = table["augmentations"].iloc[0]
    caption(
        ax,
        f"{counts(table)}, band: lowest to highest{cast.note}; augmentations: {augmentations}. "
        f"{table['pool'].iloc[0]}",
    )
    return ax


def collect_scatter(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and quantity: mean over training and seeds beside the mean score in points."""
    for name, pool in each_pool(material):
        rows = material.board.rows
        rows = rows[rows["pool"] == pool.title]
        columns = ["sampler", "augmentation", "n_seeds", "n_tasks", "mean"]
        scores = rows.loc[rows["mean"].notna(), columns].drop_duplicates(
            ["sampler", "augmentation"], keep=False
        )
        table = pooled(material, pool)
        for quantity, part in table.groupby("quantity", sort=True):
            level = part.groupby(["sampler", "augmentation", "seed"])["value"].mean()
            level = level.groupby(level=["sampler", "augmentation"]).mean().rename("value")
            both = scores.merge(level.reset_index(), on=["sampler", "augmentation"])
            if len(both) > 1:
                detail = " ".join(filter(None, (str(quantity), name)))
                yield detail, both.assign(quantity=quantity, pool=pool.title)


def score_vs_difficulty(table: pd.DataFrame, ax: Axes) -> Axes:
    """One dot per sampler and augmentation.

    Args:
        table: As `collect_scatter` makes it.
        ax: Where to draw.
    """
    cast = Cast.by(table, "mean")
    for sampler in cast.order:
        part = table[table["sampler"] == sampler]
        style = cast.look(sampler)
        ax.plot(
            part["value"],
            part["mean"],
            linestyle="none",
            marker=style.marker,
            color=style.colour,
            **cast.line(sampler),
        )
    quantity = str(table["quantity"].iloc[0])
    ax.set_xlabel(textwrap.fill(axis_label(quantity) + ", mean over training", 44))
    ax.set_ylabel("mean score (points)")
    ax.margins(0.08)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    title(ax, f"Score against {quantity.replace('_', ' ')}")
    legend(ax, len(cast.named))
    caption(
        ax,
        f"{counts(table)}; one dot per sampler and augmentation, {len(table)} dots{cast.note}"
        f"{_rank_correlation(table)}. {table['pool'].iloc[0]}",
    )
    return ax


def collect_ledger(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, quantiles of the percentile of what each sampler chose, mean over all cells."""
    table = material.difficulty
    quantiles = [str(c) for c in table.columns if re.fullmatch(r"q\d\d", str(c))]
    table = table[(table["quantity"] == "chosen_percentile") & table["mean"].notna()]
    for name, pool in each_pool(material):
        part = table.merge(pool.cells[["key"]], on="key", how="inner")
        if part.empty or not quantiles:
            continue
        groups = part.groupby("sampler", sort=True)
        levels = groups[["mean", *quantiles]].mean()
        levels["n_seeds"] = groups["seed"].nunique()
        levels["n_cells"] = groups["key"].nunique()
        levels = levels.sort_values("mean", kind="stable").reset_index()
        yield name, levels.assign(pool=pool.title)


def percentile_ledger(table: pd.DataFrame, ax: Axes) -> Axes:
    """Which part of the ranked candidates each sampler took: bars of quantiles, a dot at the mean.

    Args:
        table: As `collect_ledger` makes it.
        ax: Where to draw.
    """
    quantiles = sorted(c for c in table.columns if re.fullmatch(r"q\d\d", c))
    nested = list(zip(quantiles, reversed(quantiles), strict=True))[: len(quantiles) // 2]
    for place, row in enumerate(table.to_dict("records")):
        style = look(row["sampler"])
        for depth, (low, high) in enumerate(nested):
            ax.barh(
                place,
                row[high] - row[low],
                left=row[low],
                height=0.7 * (depth + 1) / len(nested),
                color=style.colour,
                alpha=0.35,
                linewidth=0,
            )
        ax.plot(row["mean"], place, style.marker, color=style.colour, markeredgecolor="white")
    ax.set_yticks(range(len(table)), [shorten(s) for s in table["sampler"]])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlim(-0.02, 1.02)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("percentile among the candidates\n(0 hardest, 1 easiest)")
    title(ax, "What each sampler chose")
    shares = ", ".join(f"{int(h[1:]) - int(q[1:])} %" for q, h in nested)
    caption(
        ax,
        f"Dot: mean; bars hold the middle {shares} of the chosen, mean over steps; "
        f"{counts(table)}. {table['pool'].iloc[0]}",
    )
    return ax


def curves_size(table: pd.DataFrame) -> tuple[float, float]:
    """One column wide; the legend below needs height."""
    names = list(table["sampler"].unique())
    rows = ceil(min(len(names), MOST) / legend_columns(names))
    return COLUMN_WIDTH, 2.9 + 0.145 * rows


def _common_augmentations(part: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The rows in augmentations that every sampler has, where there are any; else all rows.

    Untrained encoders have no augmentation of their own and are kept.
    """
    sets = [set(s["augmentation"]) for _, s in part[~part["untrained"]].groupby("sampler")]
    common = (set.intersection(*sets) or set.union(*sets)) if sets else set(part["augmentation"])
    kept = part["augmentation"].isin(common) | part["untrained"]
    return ", ".join(sorted(common)), part[kept]


def _rank_correlation(table: pd.DataFrame) -> str:
    """Spearman's rank correlation in words, or nothing where it is not defined."""
    if len(table) < 3 or table["value"].nunique() < 2 or table["mean"].nunique() < 2:
        return ""
    rho = scipy_stats.spearmanr(table["value"], table["mean"]).statistic
    return f"; Spearman's rank correlation {rho:+.2f}"
