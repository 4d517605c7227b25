"""Parts of pictures that draw differences to the baseline, far values clipped and named."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.drawing import Material
from nsbench.analysis.figures.style import Look
from nsbench.analysis.statistics.verdicts import BASELINE
from nsbench.analysis.tables.leaderboard import PoolStatistics
from nsbench.analysis.tables.pools import Pool

_FAR = 3.0  # interquartile ranges beyond the quartiles, where a value is clipped
_LEAST = 1.0  # points that a window shows on either side of the quartiles, at least
_NAMED = 8


def averaged_rows(material: Material, pool: Pool) -> pd.DataFrame:
    """Return the rows of one pool over augmentations that have a mean."""
    rows = material.board.samplers
    return rows[(rows["pool"] == pool.title) & rows["mean"].notna()]


def difference_columns(rows: pd.DataFrame, statistics: PoolStatistics) -> pd.DataFrame:
    """Return what a picture of differences needs of some rows of a leaderboard.

    Column ``shown`` is the difference to the baseline, 0 for the baseline itself, with the ends
    ``low`` and ``high`` of its interval; without a baseline in the rows it is the mean.
    """
    columns = ["sampler", "augmentation", "n_seeds", "n_tasks", "mean", "verdict"]
    table = rows[columns].assign(baseline=statistics.baseline, margin=statistics.margin)
    table["against"] = "baseline" if rows["difference"].notna().any() else "none"
    if table["against"].eq("none").all():
        return table.assign(shown=rows["mean"], low=rows["ci_low"], high=rows["ci_high"])
    own = rows["verdict"].eq(BASELINE)
    table["shown"] = rows["difference"].where(~own, 0.0)
    table["low"], table["high"] = rows["difference_low"], rows["difference_high"]
    return table[table["shown"].notna()]


def shown_label(table: pd.DataFrame) -> str:
    """Return the name of the axis of column ``shown``."""
    if table["against"].iloc[0] == "none":
        return "mean score (points)"
    return f"difference to {table['baseline'].iloc[0]} (points)"


def interval_words(table: pd.DataFrame) -> str:
    """Return words for a caption about the lines in a picture."""
    if table["low"].isna().all():
        return "no interval: under three seeds; "
    simultaneous = table["against"].iloc[0] != "none"
    return f"lines: {'simultaneous ' if simultaneous else ''}95 % interval; "


@dataclass(frozen=True)
class Window:
    """The range of values that a picture shows; values outside are drawn at its edge and named.

    Attributes:
        low: Lower end.
        high: Upper end.
        column: Column of the values.
    """

    low: float
    high: float
    column: str

    @classmethod
    def of(cls, table: pd.DataFrame, column: str) -> "Window":
        """Return the window of a table: all but values far from the middle half."""
        values = table[column].to_numpy(dtype=float)
        first, third = np.quantile(values, [0.25, 0.75])
        reach = max(_FAR * (third - first), _LEAST)
        inside = table[(values >= first - reach) & (values <= third + reach)]
        ends = inside[[column, *(c for c in ("low", "high") if c in table)]]
        return cls(float(np.nanmin(ends)), float(np.nanmax(ends)), column)

    def outside(self, table: pd.DataFrame) -> "pd.Series[bool]":
        """Return which rows are clipped."""
        return ~table[self.column].between(self.low, self.high)

    def dots(
        self, ax: Axes, places: Any, rows: pd.DataFrame, style: Look, *, upright: bool, **line: Any
    ) -> None:
        """Draw values with their intervals, or an arrow at the edge where a value is clipped.

        Args:
            ax: Where.
            places: Position of each row on the other axis.
            rows: Rows with the column, ``low`` and ``high``.
            style: Their colour and marker.
            upright: Values go up, otherwise to the right.
            line: Further settings of the markers.
        """
        zorder = line.get("zorder", 2)
        places, inside = np.asarray(places, dtype=float), ~self.outside(rows).to_numpy()
        part = rows[inside]
        drawn = ax.vlines if upright else ax.hlines
        drawn(places[inside], part["low"], part["high"], color=style.colour, linewidth=0.9)
        pair = (places[inside], part[self.column])
        ax.plot(*(pair if upright else pair[::-1]), **style.dots, **line)
        for place, value in zip(places[~inside], rows.loc[~inside, self.column], strict=True):
            below = value < self.low
            edge = self.low if below else self.high
            arrow = ("v" if below else "^") if upright else ("<" if below else ">")
            at = (place, edge) if upright else (edge, place)
            ax.plot(*at, arrow, color=style.colour, markerfacecolor="none", zorder=zorder)
            if not upright:  # where several may lie at one place, the caption alone names them
                text = f"{value:+.1f}"
                ax.annotate(
                    text, at, xytext=(6, 0), textcoords="offset points", va="center", fontsize=6.5
                )

    def limits(self, ax: Axes, *, upright: bool) -> None:
        """Set the limits of the axis of the values, with some room."""
        room = 0.08 * max(self.high - self.low, 1e-9)
        (ax.set_ylim if upright else ax.set_xlim)(self.low - room, self.high + room)

    def note(self, table: pd.DataFrame) -> str:
        """Return words for a caption about what is clipped."""
        far = table[self.outside(table)]
        if far.empty:
            return ""
        names = [f"{s} {v:+.1f}" for s, v in zip(far["sampler"], far[self.column], strict=True)]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"; off the scale: {', '.join(names[:_NAMED])}{more}"
