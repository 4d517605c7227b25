"""Picture of band ablations: the score against the band that was kept or dropped."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures import drawing
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import COLUMN_WIDTH, DASHES, look
from nsbench.analysis.tables.bands import ARMS, band_tables, claims

_WORDS = {"keep": "this band alone", "drop": "all but this band"}
_LINES = {"all negatives": "in_batch", "random": "random", "untrained": "no_training"}


def collect_bands(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool with a band experiment, its arms, its references and its sentences."""
    for name, pool in drawing.each_pool(material):
        for table in band_tables(pool, material.board):
            detail = drawing.joined(name, table["setting"].iloc[0])
            yield detail, table.assign(text=" ".join(claims(table)))


@figure(collect_bands, size=lambda table: (COLUMN_WIDTH, 3.4))
def band_ablation(table: pd.DataFrame, ax: Axes) -> Axes:
    """Score when one band of the ranking is kept alone, or dropped."""
    bands = table[table["arm"].isin(ARMS.values())]
    edges = sorted({*bands["low"], *bands["high"]})
    wide = bands.drop_duplicates(["low", "high"]).sort_values(["low", "high"])
    place = {(low, high): i for i, (low, high) in enumerate(wide[["low", "high"]].to_numpy())}
    entries = 0
    for sampler, arm in ARMS.items():
        part = bands[bands["arm"] == arm].sort_values(["low", "high"])
        if part.empty:
            continue
        where = [place[(low, high)] for low, high in part[["low", "high"]].to_numpy()]
        drawing.interval_line(ax, where, part, look(sampler), label=_WORDS[arm])
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
    drawing.band_ticks(ax, place, scale=100)
    ax.set(xlabel="band of the ranking (percent, 0 = hardest)", ylabel="mean score (points)")
    said = table["setting"].iloc[0]  # empty text is read back from CSV as a missing number
    setting = "" if pd.isna(said) or not said else f". {said}"
    return drawing.finish(
        ax,
        table,
        title="Keeping or dropping one band of negatives",
        caption=f"{drawing.counts(bands)}; {len(edges) - 1} bands; bars: 95 % t interval over "
        f"seeds, shade: that of all negatives{setting}",
        entries=entries,
    )
