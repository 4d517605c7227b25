"""ConSERT's heat map: the score of every ordered pair of augmentations, one picture per sampler."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.drawing import Material, caption, counts, each_pool, labels, title
from nsbench.analysis.figures.scores import draw_grid
from nsbench.analysis.figures.style import COLUMN_WIDTH

_PAIR = " | "


def collect_view_grid(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and sampler, one row per pair of views; only where the two views differ at times."""
    for name, pool in each_pool(material):
        rows = material.board.rows
        rows = rows[(rows["pool"] == pool.title) & rows["mean"].notna()]
        if rows.empty:
            continue
        columns = ["sampler", "augmentation", "n_seeds", "n_tasks", "mean", "pool"]
        table = rows[columns].assign(label=labels(rows))
        views = table["augmentation"].str.split(_PAIR, n=1, regex=False)
        table = table.assign(view1=views.str[0], view2=views.str[-1])
        several = table.groupby("label").ngroups
        for label, part in table.groupby("label", sort=False):
            if (part["view1"] == part["view2"]).all():
                continue
            parts = [p for p in (name, str(label) if several > 1 else "") if p]
            yield " ".join(parts), part


def view_grid(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean score in points, view 1 down and view 2 across; blank where there is no cell.

    Args:
        table: As `collect_view_grid` makes it.
        ax: Where to draw.
    """
    names = sorted({*table["view1"], *table["view2"]}, key=lambda v: (v != "none", v))
    wide = table.pivot_table(index="view1", columns="view2", values="mean", aggfunc="mean")
    wide = wide.reindex(
        index=[n for n in names if n in wide.index],
        columns=[n for n in names if n in wide.columns],
    )
    draw_grid(wide, ax)
    ax.set_xlabel("augmentation of view 2")
    ax.set_ylabel("augmentation of view 1")
    title(ax, f"Pairs of augmentations, {table['sampler'].iloc[0]}")
    caption(ax, f"{counts(table)}; grey: no score. {table['pool'].iloc[0]}")
    return ax


def view_grid_size(table: pd.DataFrame) -> tuple[float, float]:
    """Room for a square of cells, its names and its caption."""
    down, across = table["view1"].nunique(), table["view2"].nunique()
    return max(COLUMN_WIDTH, 2.3 + 0.5 * across), 2.0 + 0.42 * down
