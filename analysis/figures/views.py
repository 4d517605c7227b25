"""ConSERT's heat map: the score of every ordered pair of augmentations, one picture per sampler."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures import drawing
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.scores import draw_grid
from nsbench.analysis.figures.style import COLUMN_WIDTH
from nsbench.analysis.tables.method_names import method_names

_PAIR = " | "


def collect_view_grid(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool and sampler, one row per pair of views; none if the two views never differ."""
    for name, pool in drawing.each_pool(material):
        rows = drawing.board_rows(material, pool)
        if rows.empty:
            continue
        columns = ["sampler", "augmentation", "n_seeds", "n_tasks", "mean", "pool"]
        table = rows[columns].assign(label=method_names(rows))
        views = table["augmentation"].str.split(_PAIR, n=1, regex=False)
        table = table.assign(view1=views.str[0], view2=views.str[-1])
        several = table.groupby("label").ngroups > 1
        for label, part in table.groupby("label", sort=False):
            if not (part["view1"] == part["view2"]).all():
                yield drawing.joined(name, label if several else ""), part


def view_grid_size(table: pd.DataFrame) -> tuple[float, float]:
    """Room for a square of cells, its names and its caption."""
    down, across = table["view1"].nunique(), table["view2"].nunique()
    return max(COLUMN_WIDTH, 2.3 + 0.5 * across), 2.0 + 0.42 * down


@figure(collect_view_grid, size=view_grid_size)
def view_grid(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean score of every ordered pair of augmentations, one picture per sampler."""
    names = sorted({*table["view1"], *table["view2"]}, key=lambda v: (v != "none", v))
    wide = table.pivot_table(index="view1", columns="view2", values="mean", aggfunc="mean")
    wide = wide.reindex(
        index=[n for n in names if n in wide.index],
        columns=[n for n in names if n in wide.columns],
    )
    draw_grid(wide, ax)
    ax.set(xlabel="augmentation of view 2", ylabel="augmentation of view 1")
    return drawing.finish(
        ax,
        table,
        title=f"Pairs of augmentations, {table['sampler'].iloc[0]}",
        caption=f"{drawing.counts(table)}; grey: no score",
    )
