"""Pictures of the negatives that samplers chose: over training, and against the score."""

import re
import textwrap
from collections.abc import Collection, Iterator
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nsbench.analysis.figures import drawing
from nsbench.analysis.figures.cast import Cast
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import looks
from nsbench.analysis.tables.pools import Pool
from nsbench.samplers import suggest

MAIN_QUANTITIES = (
    "chosen_similarity",
    "chosen_percentile",
    "margin",
    "effective_negatives",
    "false_negative",
)
"""Drawn unless others are asked for."""
_QUANTILES = (5, 25, 50, 75, 95)  # percent of the gradient, in the ledger
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
    "mined_rank": "place of the mined in the ranking of the corpus (1 best)",
    "mined_false_negative": "false negatives among the mined (share)",
    "judged_positive": "candidates that the judge calls positive (share)",
    "judged_between": "candidates that the judge leaves out (share)",
    "mined_recall": "today's mined already among yesterday's (share)",
    "mined_drop": "similarity now less when mined (cosine)",
    "stored_drift": "stored from today's embedding (1 - cosine)",
    "stored_recognised": "stored nearest to their own text (share)",
    "own_masked": "own negatives that the mask's rule hits (share)",
}
"""Words and unit of known quantities; any other is named as it is stored."""


def wanted(material: drawing.Material) -> list[str]:
    """Return the quantities to draw: those asked for, else the main ones, else all.

    Raises:
        ValueError: If one is asked for that no cell has; the message names all there are.
    """
    known = sorted(str(q) for q in material.difficulty["quantity"].unique())
    if "all" in material.quantities:
        return known
    for name in material.quantities:
        if name not in known:
            raise ValueError(f"no cell has the quantity {name!r}. {suggest(name, known)}")
    main = [q for q in MAIN_QUANTITIES if q in known]
    return list(material.quantities) or main or known


def axis_label(quantity: str) -> str:
    """Return name and unit of a quantity."""
    return UNITS.get(quantity, quantity.replace("_", " "))


STALENESS = ("mined_percentile", "mined_recall", "mined_drop", "stored_drift", "stored_recognised")


def _pooled(material: drawing.Material, pool: Pool, quantities: Collection[str]) -> pd.DataFrame:
    """Return difficulty of one pool, one row per method, seed, step and quantity.

    Columns ``sampler, augmentation, untrained, seed, step, quantity, value``, without NaN.
    """
    table = material.difficulty.merge(pool.cells[["key", "untrained"]], on="key", how="inner")
    table = table.rename(columns={"mean": "value"}).dropna(subset=["value"])
    columns = ["sampler", "augmentation", "untrained", "seed", "step", "quantity", "value"]
    return table.loc[table["quantity"].isin(quantities), columns]


def collect_curves(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and quantity: mean over augmentations that all have, then spread over seeds."""
    for name, pool in drawing.each_pool(material):
        yield from _curves(name, pool, _pooled(material, pool, wanted(material)))


def collect_staleness(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Curves of the age of candidates, for cells whose pool keeps any."""
    both = {"mined_similarity", "mined_similarity_then"}
    for name, pool in drawing.each_pool(material):
        table = _pooled(material, pool, {*STALENESS, *both})
        keys = [c for c in table.columns if c not in ("quantity", "value")]
        pairs = table[table["quantity"].isin(both)]
        wide = pairs.pivot_table(index=keys, columns="quantity", values="value").reset_index()
        if both <= set(wide.columns):
            drop = wide["mined_similarity"] - wide["mined_similarity_then"]
            table = pd.concat([table, wide[keys].assign(quantity="mined_drop", value=drop)])
        yield from _curves(name, pool, table[table["quantity"].isin(STALENESS)])


def _curves(name: str, pool: Pool, table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for quantity, part in table.groupby("quantity", sort=True):
        common, part = _common_augmentations(part)
        seeds = part.groupby(["sampler", "seed", "step"], sort=True)["value"].mean()
        curve = drawing.over_seeds(seeds, ["sampler", "step"])
        curve = curve.assign(quantity=quantity, augmentations=common, pool=pool.title)
        yield drawing.joined(quantity, name), curve


@figure(collect_staleness, needs=["difficulty"])
def staleness(table: pd.DataFrame, ax: Axes) -> Axes:
    """Age of mined and stored candidates, one picture per quantity."""
    return difficulty_curves(table, ax)


@figure(collect_curves, needs=["difficulty"])
def difficulty_curves(table: pd.DataFrame, ax: Axes) -> Axes:
    """Difficulty that each sampler fed the model over training, one picture per quantity."""
    last = table.sort_values("step", kind="stable").groupby("sampler", sort=True)["mean"].last()
    cast = Cast.of(last.sort_values(ascending=False, kind="stable").index)
    for place, (curve, style, line) in enumerate(cast.drawn(table)):
        every = max(1, ceil(len(curve) / 5))
        drawing.banded_line(
            ax, curve["step"], curve, style, markevery=(place % every, every), **line
        )
    quantity = str(table["quantity"].iloc[0])
    ax.set(xlabel="step (optimizer updates)", ylabel=textwrap.fill(axis_label(quantity), 28))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return drawing.finish(
        ax,
        table,
        title=f"{quantity.replace('_', ' ').capitalize()} over training",
        caption=f"{drawing.counts(table)}, band: lowest to highest{cast.note}; augmentations: "
        f"{table['augmentations'].iloc[0]}",
        entries=len(cast.named),
    )


def collect_scatter(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and quantity: mean over training and seeds, and the mean score in points."""
    for name, pool in drawing.each_pool(material):
        columns = ["sampler", "augmentation", "n_seeds", "n_tasks", "mean"]
        scores = drawing.board_rows(material, pool)[columns].drop_duplicates(
            columns[:2], keep=False
        )
        table = _pooled(material, pool, wanted(material))
        for quantity, part in table.groupby("quantity", sort=True):
            level = part.groupby(["sampler", "augmentation", "seed"])["value"].mean()
            level = level.groupby(level=["sampler", "augmentation"]).mean().rename("value")
            both = scores.merge(level.reset_index(), on=["sampler", "augmentation"])
            if both["value"].round(6).nunique() > 1:
                yield (
                    drawing.joined(quantity, name),
                    both.assign(quantity=quantity, pool=pool.title),
                )


@figure(collect_scatter, needs=["difficulty"])
def score_vs_difficulty(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean score against what the sampler fed the model, one picture per quantity."""
    cast = Cast.by(table, "mean")
    for part, style, line in cast.drawn(table):
        ax.plot(part["value"], part["mean"], **style.dots, **line)
    quantity = str(table["quantity"].iloc[0])
    ax.set_xlabel(textwrap.fill(axis_label(quantity) + ", mean over training", 44))
    ax.set_ylabel("mean score (points)")
    ax.margins(0.08)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    return drawing.finish(
        ax,
        table,
        title=f"Score against {quantity.replace('_', ' ')}",
        caption=f"{drawing.counts(table)}; one dot per sampler and augmentation, {len(table)} dots"
        f"{cast.note}{drawing.rank_correlation(table['value'], table['mean'])}",
        entries=len(cast.named),
    )


def collect_ledger(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, the percentiles that each sampler took, each negative by its share of the gradient.

    Of a sampler whose cells did not measure that, every chosen negative counts the same. Columns
    that a pool mined for an anchor have another row below their sampler's; each counts once.
    """
    for name, pool in drawing.each_pool(material):
        cells = pool.cells[["key", "sampler", "seed"]].itertuples(index=False)
        rows = [row for cell in cells if (row := _taken(material, *cell))]
        weighed = pd.DataFrame(rows, columns=["sampler", "seed", "key", "mean", *_quantiles()])
        plain = _taken_by_number(material, pool)
        plain = plain[~plain["sampler"].isin(weighed["sampler"])]
        part = pd.concat([weighed.assign(weighed=True), plain.assign(weighed=False)])
        if part.empty:
            continue
        groups = part.groupby("sampler", sort=True)
        levels = groups[["mean", *_quantiles()]].mean()
        levels["n_seeds"] = groups["seed"].nunique()
        levels["n_cells"] = groups["key"].nunique()
        levels["weighed"] = groups["weighed"].all()
        levels = levels.sort_values("mean", kind="stable").reset_index().assign(columns="chosen")
        order = {sampler: place for place, sampler in enumerate(levels["sampler"])}
        levels = pd.concat([levels, _mined(material, pool)], ignore_index=True)
        levels = levels.sort_values("sampler", key=lambda s: s.map(order), kind="stable")
        yield name, levels.assign(pool=pool.title)


def _quantiles() -> list[str]:
    return [f"q{percent:02d}" for percent in _QUANTILES]


def _taken(material: drawing.Material, key: str, sampler: str, seed: int) -> dict[str, Any]:
    """Return mean and quantiles of the weighted percentiles of one cell; empty without any."""
    counted = material.histograms.get(str(key))
    if counted is None:
        return {}
    part = counted[counted["quantity"] == "chosen_percentile_weighted"]
    part = part[part["step"] == part["step"].max()].sort_values("bin_low")  # counts are cumulative
    count = part["count"].to_numpy()
    if not count.sum() > 0:
        return {}
    low = part["bin_low"].to_numpy()
    width = 1 / len(low)
    share = count.cumsum() / count.sum()
    found = {"mean": float((low + width / 2) @ count / count.sum())}
    for percent in _QUANTILES:
        place = int((share < percent / 100 - 1e-12).sum())
        found[f"q{percent:02d}"] = float(low[min(place, len(low) - 1)] + width / 2)
    return {"sampler": sampler, "seed": seed, "key": key} | found


def _taken_by_number(
    material: drawing.Material, pool: Pool, quantity: str = "chosen_percentile"
) -> pd.DataFrame:
    """Return the same by number of the chosen negatives, without weights."""
    columns = ["sampler", "seed", "key", "mean", *_quantiles()]
    table = material.difficulty
    table = table[(table["quantity"] == quantity) & table["mean"].notna()]
    return drawing.of_cells(table, pool).reindex(columns=columns)


def _mined(material: drawing.Material, pool: Pool) -> pd.DataFrame:
    """Return rows of the columns that a pool mined for an anchor, each counting once."""
    groups = _taken_by_number(material, pool, "mined_percentile").groupby("sampler", sort=True)
    levels = groups[["mean", *_quantiles()]].mean()
    levels["n_seeds"], levels["n_cells"] = groups["seed"].nunique(), groups["key"].nunique()
    return levels.reset_index().assign(weighed=False, columns="mined")


@figure(collect_ledger, size=drawing.rows_size)
def percentile_ledger(table: pd.DataFrame, ax: Axes) -> Axes:
    """Part of the ranked candidates that every sampler took, by weight."""
    quantiles = sorted(c for c in table.columns if re.fullmatch(r"q\d\d", c))
    nested = list(zip(quantiles, reversed(quantiles), strict=True))[: len(quantiles) // 2]
    looks_ = looks(table["sampler"])
    for place, row in enumerate(table.to_dict("records")):
        style = looks_[row["sampler"]]
        for depth, (low, high) in enumerate(nested):
            if pd.isna(row[low]):  # not stored with the results
                continue
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
    drawing.name_rows(ax, _ledger_names(table))
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("percentile among the candidates\n(0 hardest, 1 easiest)")
    stored = [(low, high) for low, high in nested if table[low].notna().any()]
    shares = ", ".join(f"{int(h[1:]) - int(q[1:])} %" for q, h in stored)
    bars = f"; bars hold the middle {shares}" if stored else ""
    known = table.loc[table["columns"] == "chosen", "weighed"].astype(bool)
    weight = "the negatives' gradient" if known.any() else "the chosen, each counting once"
    weight += "" if known.all() or not known.any() else "; *: of the chosen, not weighed"
    weight += "; mined: columns mined for the anchor" if table["columns"].eq("mined").any() else ""
    return drawing.finish(
        ax,
        table,
        title="What each sampler chose",
        caption=f"Dot: mean{bars} of {weight}; {drawing.counts(table)}",
    )


def _ledger_names(table: pd.DataFrame) -> list[str]:
    """Return the sampler of each row, or that it is of its mined columns."""
    some = table["weighed"].any()
    names = drawing.row_labels(table["sampler"])
    rows = zip(names, table["columns"], table["weighed"], strict=True)
    return [
        "... mined" if columns == "mined" else name + ("" if w or not some else "*")
        for name, columns, w in rows
    ]


def _common_augmentations(part: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Return the augmentations that every sampler has, and their rows; if there are none, all.

    Untrained encoders have no augmentation and are kept.
    """
    sets = [set(s["augmentation"]) for _, s in part[~part["untrained"]].groupby("sampler")]
    common = (set.intersection(*sets) or set.union(*sets)) if sets else set(part["augmentation"])
    kept = part["augmentation"].isin(common) | part["untrained"]
    return ", ".join(sorted(common)), part[kept]
