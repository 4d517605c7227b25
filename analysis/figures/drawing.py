"""Parts that pictures share: their material, titles, captions, legends and labels."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from scipy import stats as scipy_stats

from nsbench.analysis.figures.cast import MOST
from nsbench.analysis.figures.style import COLUMN_WIDTH, Look
from nsbench.analysis.tables.leaderboard import Leaderboard
from nsbench.analysis.tables.pools import Pool

_CAPTION_WIDTH = 66  # characters that fit one column
_TITLE_WIDTH = 44  # the axis is narrower
_LABEL_WIDTH = 24
_CUT = " ..."
ROW = 0.19  # inches per row of a picture


@dataclass(frozen=True)
class Material:
    """Data that figures are made from.

    Attributes:
        board: The leaderboard.
        pools: The pools behind it, in the same order.
        difficulty: The long difficulty table.
        quantities: Quantities to draw, of those in the table; ``all`` for all.
        histograms: Similarity and percentile histograms by key of the cell.
        choices: What was chosen on shared batches, by key.
        probes: Rankings of the probe at the end, by key.
        random_pairs: Histogram of the similarity of random texts after training, by key.
        extra_scores: Scores in addition to the main ones, one row each.
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
    """Yield the pools, each with a short name for files: empty if there is one only."""
    for pool in material.pools:
        yield (pool.title if len(material.pools) > 1 else ""), pool


def joined(*parts: object) -> str:
    """Join the parts of a picture's name that are not empty."""
    return " ".join(str(part) for part in parts if part)


def of_cells(table: pd.DataFrame, pool: Pool) -> pd.DataFrame:
    """Return the rows of the cells of one pool, with its title in ``pool``."""
    return table.merge(pool.cells[["key"]].drop_duplicates(), on="key").assign(pool=pool.title)


def board_rows(material: Material, pool: Pool) -> pd.DataFrame:
    """Return the rows of the leaderboard of one pool that have a mean."""
    rows = material.board.rows
    return rows[(rows["pool"] == pool.title) & rows["mean"].notna()]


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
    """Return ``mean``, ``min``, ``max`` and ``n_seeds`` of each group of levels of the index."""
    table = values.groupby(level=list(by), sort=True).agg(["mean", "min", "max", "count"])
    return table.rename(columns={"count": "n_seeds"}).reset_index()


def rank_correlation(x: pd.Series, y: pd.Series) -> str:
    """Spearman's rank correlation in words for a caption; empty if it is not defined."""
    if len(x) < 3 or x.nunique() < 2 or y.nunique() < 2:
        return ""
    return f"; Spearman's rank correlation {scipy_stats.spearmanr(x, y).statistic:+.2f}"


def banded_line(
    ax: Axes, x: Any, rows: pd.DataFrame, style: Look, *, scale: float = 1.0, **line: Any
) -> None:
    """Draw the mean over seeds as a line, and the lowest to the highest seed as a band."""
    mean, low, high = (scale * rows[name] for name in ("mean", "min", "max"))
    ax.plot(x, mean, **style.line, **line)
    ax.fill_between(
        x, low, high, color=style.colour, alpha=0.15, linewidth=0, zorder=line.get("zorder", 1)
    )


def interval_line(
    ax: Axes,
    x: Any,
    rows: pd.DataFrame,
    style: Look,
    *,
    columns: tuple[str, str, str] = ("mean", "ci_low", "ci_high"),
    scale: float = 1.0,
    **line: Any,
) -> None:
    """Draw a line with an error bar at each point; see `banded_line`.

    ``columns`` are the value and the ends of its interval; ``line`` replaces settings.
    """
    value, low, high = (rows[name] for name in columns)
    ends = [scale * (value - low), scale * (high - value)]
    ax.errorbar(x, scale * value, yerr=ends, **(style.line | {"capsize": 2} | line))


def name_rows(ax: Axes, names: Iterable[str], places: Any = None, *, rows: int = 0) -> None:
    """Name rows from top to bottom; if there are more ``rows`` than names, those at ``places``."""
    names = list(names)
    ax.set_yticks(range(len(names)) if places is None else places, names)
    ax.set_ylim((rows or len(names)) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)


def band_ticks(ax: Axes, bands: Iterable[tuple[float, float]], *, scale: float = 1.0) -> None:
    """Name places on the x axis by bands of the ranking, such as ``0\u20135``."""
    names = [f"{scale * low:g}\u2013{scale * high:g}" for low, high in bands]
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")


def finish(ax: Axes, table: pd.DataFrame, *, title: str, caption: str, entries: int = 0) -> Axes:
    """Add title, legend and caption, with a table's ``pool``; no legend is drawn for 0 entries."""
    add_title(ax, title)
    add_legend(ax, entries)
    add_caption(ax, f"{caption}. {table['pool'].iloc[0]}" if "pool" in table else caption)
    return ax


def add_title(ax: Axes, text: str) -> None:
    """Add a title wrapped to the picture's width."""
    ax.set_title(textwrap.fill(text, _wrap(ax, _TITLE_WIDTH)), loc="left", x=0)


def add_caption(ax: Axes, text: str) -> None:
    """Add small print under the picture, wrapped to its width."""
    figure = ax.get_figure(root=True)
    if figure is not None:
        lines = textwrap.fill(text, _wrap(ax, _CAPTION_WIDTH), max_lines=6, placeholder=" ...")
        figure.supxlabel(lines, x=0.01, ha="left", fontsize=6.5, color="0.3")


def row_labels(names: Iterable[str]) -> list[str]:
    """Break long labels over two lines or cut them, but where two would be alike."""
    names = list(names)
    lines = dict.fromkeys(names, 2)
    while True:
        cut = {name: _broken(name, lines[name]) for name in lines}
        times = Counter(cut.values())
        alike = [name for name in lines if times[cut[name]] > 1 and lines[name] < len(name)]
        if not alike:
            return [cut[name] for name in names]
        lines |= {name: lines[name] + 1 for name in alike}


def _broken(text: str, lines: int) -> str:
    if len(text) > _LABEL_WIDTH:  # break before a parameter list rather than inside a word
        text = text.replace("(", " (")
    return textwrap.fill(text, _LABEL_WIDTH, max_lines=lines, placeholder=_CUT)


def add_legend(ax: Axes, entries: int) -> None:
    """Add a legend under the axis, where it hides no line; none for 0 entries."""
    figure = ax.get_figure(root=True)
    handles, labels = ax.get_legend_handles_labels()
    if figure is not None and entries:
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
    """Number of columns of a legend that fit one text column."""
    longest = max((len(s) for s in labels), default=1)
    return 3 if longest <= 12 else 2 if longest <= 26 else 1


def rows_size(table: pd.DataFrame) -> tuple[float, float]:
    """Size of one column, higher with more rows and with labels of more lines."""
    labels = row_labels(map(str, table.get("label", table["sampler"])))
    lines = max((label.count("\n") for label in labels), default=0)
    return COLUMN_WIDTH, 1.3 + ROW * len(table) * (1 if not lines else 1.3 + 0.6 * (lines - 1))


def curves_size(table: pd.DataFrame) -> tuple[float, float]:
    """Size of one column, higher with more entries of the legend."""
    names = list(table["sampler"].unique())
    rows = -(-min(len(names), MOST) // legend_columns(names))
    return COLUMN_WIDTH, 2.9 + 0.145 * rows


def _wrap(ax: Axes, characters: int) -> int:
    figure = ax.get_figure(root=True)
    width = COLUMN_WIDTH if figure is None else figure.get_figwidth()
    return int(characters * width / COLUMN_WIDTH)
