"""Pictures of an audit and of a race; each is drawn from a table that is stored next to it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.drawing import add_caption, add_legend, add_title
from nsbench.analysis.figures.pictures import picture
from nsbench.analysis.figures.style import COLOURS, COLUMN_WIDTH, DASHES
from nsbench.analysis.recommend.page import Picture
from nsbench.analysis.tables.text import csv_text
from nsbench.benchmarks.files import write_atomically

SIZE = (1.6 * COLUMN_WIDTH, 3.1)


def drawn(
    folder: Path,
    name: str,
    table: pd.DataFrame,
    draw: Callable[[pd.DataFrame, Axes], Any],
    text: str,
) -> Picture:
    """Write a picture as CSV, SVG and PNG into ``figures`` of a folder, and return it for a page.

    Its ``text`` says what it shows.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    made = {fmt: picture(partial(draw, table), SIZE, fmt) for fmt in ("svg", "png")}
    write_atomically(folder / "figures" / f"{name}.csv", csv_text(table))
    for fmt, content in made.items():
        write_atomically(folder / "figures" / f"{name}.{fmt}", content)
    return Picture(name, text, made["svg"])


def difficulty(table: pd.DataFrame, ax: Axes) -> None:
    """Draw overlapping histograms: ``source``, ``low``, ``high`` of a bin, ``share``."""
    for place, (source, rows) in enumerate(table.groupby("source", sort=False)):
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        edges = np.append(rows["low"].to_numpy(), rows["high"].iloc[-1])
        ax.stairs(
            100 * rows["share"],
            edges,
            color=colour,
            linestyle=dash,
            label=str(source),
            linewidth=1.2,
        )
        ax.stairs(100 * rows["share"], edges, color=colour, alpha=0.12, fill=True)
    shown = table[table["share"] > 0]
    ax.set_xlim(shown["low"].min() - 0.03, shown["high"].max() + 0.03)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("similarity to the anchor (cosine)")
    ax.set_ylabel("texts in a bin (%)")
    add_title(ax, "Difficulty of candidates by source")
    add_legend(ax, table["source"].nunique())


def false_negatives(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the share of false negatives by place with intervals: ``name, low, share, high``."""
    places = np.arange(len(table))
    low, share, high = (100 * table[c].to_numpy() for c in ("low", "share", "high"))
    ax.errorbar(
        places, share, yerr=[share - low, high - share], fmt="o", color=COLOURS[0], capsize=3
    )
    ax.set_xticks(places, [str(n) for n in table["name"]], rotation=25, ha="right")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("false negatives (%)")
    add_title(ax, "False negatives among candidates")
    add_caption(ax, "95 % intervals; the lower end assumes that similarity errs one time in four")


def curve(table: pd.DataFrame, ax: Axes, *, x: str, title: str) -> None:
    """Draw scores against a setting: one dot a training, a line through the means."""
    means = table.groupby("setting", sort=False)["score"].mean()
    places = {name: at for at, name in enumerate(means.index)}
    ax.plot([places[s] for s in table["setting"]], table["score"], "o", color="0.6", markersize=3)
    ax.plot(range(len(means)), means, color=COLOURS[0], marker="s", label="mean")
    ax.set_xticks(range(len(means)), [str(s) for s in means.index])
    ax.set_xlabel(x)
    ax.set_ylabel("dev nDCG@10 (points)")
    add_title(ax, title)
    seeds = table["seed"].nunique()
    add_caption(ax, f"n = {seeds} seed{'s' * (seeds > 1)}; each dot is one training")
