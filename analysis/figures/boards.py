"""A picture of several tuned boards, drawn from ``boards.csv``: verdicts of methods by board."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from nsbench.analysis.figures.drawing import ROW, add_caption
from nsbench.analysis.figures.pictures import picture
from nsbench.analysis.statistics.verdicts import BETTER, UNDECIDED, WORSE
from nsbench.analysis.tables.boards import leading
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.text import records

LEAST_BOARDS = 3
"""Boards with a difference that a method needs to be drawn."""
LEAST_METHODS = 3
"""Methods that a comparison group needs to have a column."""
_STRONG = 5.0  # points from which a colour is no darker
_COLOURS = {BETTER: (0.0, 0.35, 0.62), WORSE: (0.78, 0.33, 0.0)}


def drawn(verdicts: pd.DataFrame) -> dict[str, bytes]:
    """Return ``boards.png`` by its name; nothing where no method is on `LEAST_BOARDS` boards."""
    table = fields(verdicts)
    if table.empty:
        return {}
    columns, rows = table["place"].nunique(), table["method"]
    width = 0.52 * columns + 0.068 * rows.str.len().max() + 0.9
    size = max(5.0, width), 1.9 + ROW * rows.nunique()
    return {"boards.png": picture(partial(draw, table), size, "png")}


def fields(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a difference of the leading families, of methods on enough boards.

    Columns ``method`` and ``place`` hold the names of a row and a column of the picture.
    """
    first = leading(verdicts)
    first = first.assign(
        place=first["place"].str.removeprefix("board-"), method=method_names(first)
    )
    there = first[first["tuned_difference"].notna()]
    boards = there.groupby("method")["board"].nunique()
    there = there[there["method"].isin(boards.index[boards >= LEAST_BOARDS])]
    methods = there.groupby("place")["method"].nunique()
    return there[there["place"].isin(methods.index[methods >= LEAST_METHODS])]


def draw(table: pd.DataFrame, ax: Axes) -> None:
    """Draw verdict and points of methods by board; only what is significant has a colour."""
    columns = sorted(table["place"].unique())
    net = table["tuned_verdict"].map({BETTER: 1, WORSE: -1}).fillna(0)
    mean = net.groupby(table["method"]).mean()
    rows = sorted(mean.index, key=lambda m: (-mean[m], m))
    for row in records(table):
        _field(ax, columns.index(row["place"]), rows.index(row["method"]), row)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    add_caption(
        ax,
        "Points against the whole batch (in_batch), tuned against tuned, mean over fresh seeds; "
        "first family of tasks of each board. Blue: better, orange: worse (simultaneous 95 % "
        "intervals within a board). Black number without colour: equivalent within the margin; "
        "grey number: undecided; empty: not on that board. Methods on fewer than "
        f"{LEAST_BOARDS} boards are in boards.csv",
    )


def _field(ax: Axes, x: int, y: int, row: Any) -> None:
    points, verdict = row["tuned_difference"], row["tuned_verdict"]
    strength = min(abs(points) / _STRONG, 1.0)
    colour = "0.55" if verdict == UNDECIDED else "black"
    if verdict in _COLOURS:
        full = np.array(_COLOURS[verdict])
        shade = tuple(1 - (0.25 + 0.75 * strength) * (1 - full))
        ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=shade, linewidth=0))
        colour = "white" if strength > 0.6 else colour
    ax.text(x, y, f"{points:+.1f}", ha="center", va="center", fontsize=6.5, color=colour)
