"""Pictures of band ablations: the score against the band that was kept or dropped."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.drawing import Material, caption, counts, each_pool, legend, title
from nsbench.analysis.figures.style import COLUMN_WIDTH, DASHES, look
from nsbench.analysis.tables.bands import ARMS, band_tables, claims

_WORDS = {"keep": "this band alone", "drop": "all but this band"}
_LINES = {"all negatives": "in_batch", "random": "random", "untrained": "no_training"}


def collect_bands(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool with a band experiment, its arms and references; the text beside it as a column."""
    for name, pool in each_pool(material):
        for table in band_tables(pool, material.board):
            detail = " ".join(filter(None, (name, str(table["setting"].iloc[0]))))
            yield detail, table.assign(text=" ".join(claims(table)))


def band_ablation(table: pd.DataFrame, ax: Axes) -> Axes:
    """Two lines over the ranking, with t intervals; references as horizontal lines.

    Args:
        table: As `collect_bands` makes it.
        ax: Where to draw.
    """
    bands = table[table["arm"].isin(ARMS.values())]
    edges = sorted({*bands["low"], *bands["high"]})
    wide = bands.drop_duplicates(["low", "high"]).sort_values(["low", "high"])
    place = {(low, high): i for i, (low, high) in enumerate(wide[["low", "high"]].to_numpy())}
    entries = 0
    for sampler, arm in ARMS.items():
        part = bands[bands["arm"] == arm].sort_values(["low", "high"])
        if part.empty:
            continue
        style = look(sampler)
        where = [place[(low, high)] for low, high in part[["low", "high"]].to_numpy()]
        ax.errorbar(
            where,
            part["mean"],
            yerr=[part["mean"] - part["ci_low"], part["ci_high"] - part["mean"]],
            color=style.colour,
            marker=style.marker,
            linestyle=style.dash,
            capsize=2,
            label=_WORDS[arm],
        )
        entries += 1
    for arm, sampler in _LINES.items():
        for count, row in enumerate(table[table["arm"] == arm].to_dict("records")):
            style = look(sampler)
            label = arm if pd.isna(row["k"]) else f"{row['k']:g} random negatives"
            dash = DASHES[count % len(DASHES)] if arm == "random" else style.dash
            ax.axhline(row["mean"], color=style.colour, linestyle=dash, linewidth=1, label=label)
            if sampler == "in_batch" and pd.notna(row["ci_low"]):
                low, high = row["ci_low"], row["ci_high"]
                ax.axhspan(low, high, color=style.colour, alpha=0.08, linewidth=0)
            entries += 1
    names = [f"{100 * low:g}\u2013{100 * high:g}" for low, high in place]
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_xlabel("band of the ranking (percent, 0 = hardest)")
    ax.set_ylabel("mean score (points)")
    title(ax, "Keeping or dropping one band of negatives")
    legend(ax, entries)
    seeds = counts(bands)
    told = table["setting"].iloc[0]  # empty text is read back from CSV as a missing number
    setting = "" if pd.isna(told) or not told else f"{told}. "
    caption(
        ax,
        f"{seeds}; {len(edges) - 1} bands; bars: 95 % t interval over seeds, shade: that of all "
        f"negatives. {setting}{table['pool'].iloc[0]}",
    )
    return ax


def bands_size(table: pd.DataFrame) -> tuple[float, float]:
    """One column wide."""
    return COLUMN_WIDTH, 3.4
