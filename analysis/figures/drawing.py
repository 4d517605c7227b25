"""What all pictures share: their material, titles, captions, legends and labels."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.style import COLUMN_WIDTH, Look
from nsbench.analysis.tables.leaderboard import Leaderboard
from nsbench.analysis.tables.pools import Pool

_CAPTION_WIDTH = 66  # characters that fit one column
_TITLE_WIDTH = 44  # the axis is narrower
_LABEL_WIDTH = 24
_ROW = 0.19  # inches per row of a picture


@dataclass(frozen=True)
class Material:
    """What figures are made from.

    Attributes:
        board: The leaderboard.
        pools: The pools behind it, in the same order.
        difficulty: The long difficulty table.
        quantities: Quantities to draw, of those in the table; ``all`` for every one.
        histograms: Similarity and percentile histograms by key of the cell.
        choices: What was chosen on shared batches, by key.
        probes: Rankings of the probe at the end, by key.
        random_pairs: Histogram of the similarity of random texts after training, by key.
        extra_scores: Scores beside the main ones, one row each.
    """

    board: Leaderboard
    pools: tuple[Pool, ...]
    difficulty: pd.DataFrame
    quantities: tuple[str, ...] = ()
    histograms: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    choices: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    probes: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    random_pairs: Mapping[str, Sequence[int]] = field(default_factory=dict)
    extra_scores: pd.DataFrame = field(default_factory=pd.DataFrame)


def each_pool(material: Material) -> Iterator[tuple[str, Pool]]:
    """The pools, with a short name for files: empty where there is one only."""
    for pool in material.pools:
        yield (pool.title if len(material.pools) > 1 else ""), pool


def counts(table: pd.DataFrame) -> str:
    """``n = 5 seeds, 7 tasks`` or ``n = 3 to 5 seeds, 7 tasks``."""
    n = table.loc[table["n_seeds"] > 0, "n_seeds"]
    low, high = int(n.min()), int(n.max())
    seeds = f"{low}" if low == high else f"{low} to {high}"
    text = f"n = {seeds} seed{'' if seeds == '1' else 's'}"
    if "n_tasks" in table:
        tasks = int(table["n_tasks"].max())
        text += f", {tasks} task{'' if tasks == 1 else 's'}"
    return text


def over_seeds(values: pd.Series, by: Sequence[str]) -> pd.DataFrame:
    """``mean``, ``min``, ``max`` and ``n_seeds`` of what every seed has, one row per group.

    Args:
        values: One number per group and seed; its index holds ``by`` among its levels.
        by: Levels that make a group.
    """
    table = values.groupby(level=list(by), sort=True).agg(["mean", "min", "max", "count"])
    return table.rename(columns={"count": "n_seeds"}).reset_index()


def banded_line(
    ax: Axes, x: Any, rows: pd.DataFrame, style: Look, *, scale: float = 1.0, **line: Any
) -> None:
    """The mean over seeds as a line, the lowest to the highest seed as a band.

    Args:
        ax: Where to draw.
        x: n positions.
        rows: n rows, as `over_seeds` makes them.
        style: Colour, marker and dash of the line.
        scale: Factor on all values, 100 for percent.
        line: Further settings of the line, such as its label.
    """
    mean, low, high = (scale * rows[name] for name in ("mean", "min", "max"))
    look = {"color": style.colour, "marker": style.marker, "linestyle": style.dash}
    ax.plot(x, mean, **look, **line)
    ax.fill_between(
        x, low, high, color=style.colour, alpha=0.15, linewidth=0, zorder=line.get("zorder", 1)
    )


def title(ax: Axes, text: str) -> None:
    """A title wrapped to the picture's width."""
    ax.set_title(textwrap.fill(text, _wrap(ax, _TITLE_WIDTH)), loc="left", x=0)


def caption(ax: Axes, text: str) -> None:
    """Small print under the picture: n and what is shown, wrapped to the picture's width."""
    figure = ax.get_figure(root=True)
    if figure is not None:
        lines = textwrap.fill(text, _wrap(ax, _CAPTION_WIDTH), max_lines=6, placeholder=" ...")
        figure.supxlabel(lines, x=0.01, ha="left", fontsize=6.5, color="0.3")


def shorten(text: str) -> str:
    """A label that leaves room for the picture: long ones are broken over two lines or cut."""
    if len(text) > _LABEL_WIDTH:  # break before a parameter list rather than inside a word
        text = text.replace("(", " (", 1)
    return textwrap.fill(text, _LABEL_WIDTH, max_lines=2, placeholder=" ...")


def labels(rows: pd.DataFrame) -> list[str]:
    """The sampler, with what else tells its rows apart, less what all rows have alike."""
    extra = [c for c in ("objective", "candidates", "budget") if c in rows]
    short = {c: telling(rows[c].astype(str).unique()) for c in extra}
    out = []
    for row in rows.to_dict("records"):
        same = rows[rows["sampler"] == row["sampler"]]
        parts = [short[c][str(row[c])] for c in extra if same[c].nunique() > 1]
        out.append(" / ".join([str(row["sampler"]), *parts]))
    return out


def telling(names: Iterable[str]) -> dict[str, str]:
    """``name(a=1, b=2)`` without the parameters that all names of that kind share.

    ``queue(momentum=0.99, size=256)`` beside ``queue(momentum=0.99, size=1024)`` becomes
    ``queue(size=256)``; what stands alone stays as it is.
    """
    kinds: dict[str, dict[str, list[str]]] = {}
    for name in names:
        kind, bracket, inside = name.partition("(")
        kinds.setdefault(kind, {})[name] = _parts(inside.removesuffix(")")) if bracket else []
    out = {}
    for kind, found in kinds.items():
        shared = set.intersection(*map(set, found.values())) if len(found) > 1 else set()
        for name, parts in found.items():
            kept = ", ".join(part for part in parts if part not in shared)
            out[name] = f"{kind}({kept})" if kept else kind
    return out


def _parts(inside: str) -> list[str]:
    """Parameters of a label, parted at commas that stand in no bracket."""
    parts, depth = [""], 0
    for sign in inside:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def legend(ax: Axes, n: int) -> None:
    """A legend under the axis, where it hides no line."""
    figure = ax.get_figure(root=True)
    handles, labels = ax.get_legend_handles_labels()
    if figure is not None and n:
        figure.legend(
            handles,
            labels,
            loc="outside upper left",
            ncols=legend_columns(labels),
            borderaxespad=0.2,
            columnspacing=1.0,
            handlelength=2.4,
        )


def legend_columns(labels: Sequence[str]) -> int:
    """How many columns of a legend fit one text column."""
    longest = max((len(s) for s in labels), default=1)
    return 3 if longest <= 12 else 2 if longest <= 26 else 1


def rows_size(table: pd.DataFrame) -> tuple[float, float]:
    """One column wide, higher with more rows, and with labels that take two lines."""
    longest = max((len(str(s)) for s in table.get("label", ())), default=0)
    return COLUMN_WIDTH, 1.3 + _ROW * len(table) * (1.3 if longest > _LABEL_WIDTH else 1)


def _wrap(ax: Axes, characters: int) -> int:
    figure = ax.get_figure(root=True)
    width = COLUMN_WIDTH if figure is None else figure.get_figwidth()
    return int(characters * width / COLUMN_WIDTH)
