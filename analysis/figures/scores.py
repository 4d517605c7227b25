"""Pictures of scores: the leaderboard as dots with intervals, and sampler by augmentation."""

from collections.abc import Iterator

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from nsbench.analysis.figures import differences, drawing
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import COLUMN_WIDTH, looks
from nsbench.analysis.tables.method_names import method_names


def collect_leaderboard(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, the samplers over their common augmentations; all rows if there are none."""
    for (name, pool), statistics in zip(
        drawing.each_pool(material), material.board.pools, strict=True
    ):
        rows = differences.averaged_rows(material, pool)
        if rows.empty:
            continue
        columns = ["rank", "rank_lo", "rank_hi", "group", "objective", "ci_low", "ci_high"]
        marked = [
            f"! {s}" if a else s for s, a in zip(method_names(rows), rows["alarms"], strict=True)
        ]
        table = differences.difference_columns(rows.assign(label=marked), statistics)
        table = table.join(rows[columns]).assign(label=pd.Series(marked, rows.index))
        yield name, table.assign(pool=pool.title)


@figure(collect_leaderboard, size=drawing.rows_size)
def leaderboard(table: pd.DataFrame, ax: Axes) -> Axes:
    """Difference of every sampler to the baseline, and which do not differ significantly.

    All in points. Without a baseline the means are drawn. A common letter: no significant
    difference.
    """
    table = table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)
    window, own = differences.Window.of(table, "shown"), looks(table["sampler"])
    if table["against"].iloc[0] != "none":
        margin = float(table["margin"].iloc[0])
        ax.axvline(0, color="0.6", linewidth=0.8, linestyle=(0, (3, 2)))
        ax.axvspan(-margin, margin, color="0.93", linewidth=0, zorder=0)
    for place, row in enumerate(table.to_dict("records")):
        window.dots(ax, [place], table.iloc[[place]], own[row["sampler"]], upright=False)
        ax.annotate(
            f"{row['mean']:.1f}  {row['group'] if isinstance(row['group'], str) else ''}",
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            verticalalignment="center",
            fontsize=7,
        )
    drawing.name_rows(ax, drawing.row_labels(table["label"]))
    window.limits(ax, upright=False)
    ax.set_xlabel(differences.shown_label(table))
    augmentations = ", ".join(dict.fromkeys(table["augmentation"]))
    alarm = "; ! marks an alarm" if table["label"].str.startswith("! ").any() else ""
    grey = f"; grey: the margin of {table['margin'].iloc[0]:g}"
    return drawing.finish(
        ax,
        table,
        title="Samplers against the baseline",
        caption=f"{differences.interval_words(table)}{drawing.counts(table)}, augmentations: "
        f"{augmentations}; right: mean, and letters that two samplers share exactly if they are "
        f"not significantly different{window.note(table)}"
        f"{grey if table['against'].iloc[0] != 'none' else ''}{alarm}",
    )


def collect_heatmap(material: drawing.Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, one row per sampler and augmentation, in order of the samplers' best mean."""
    for name, pool in drawing.each_pool(material):
        rows = material.board.rows
        rows = rows[rows["pool"] == pool.title]
        if rows["mean"].isna().all():
            continue
        columns = ["sampler", "augmentation", "objective", "n_seeds", "n_tasks", "mean", "pool"]
        table = rows[columns].assign(label=method_names(rows))
        best = table.groupby("label")["mean"].transform("max")
        order = table.assign(best=best).sort_values(
            ["best", "label", "augmentation"], ascending=[False, True, True], kind="stable"
        )
        yield name, order.drop(columns="best")


def heatmap_size(table: pd.DataFrame) -> tuple[float, float]:
    """Size of one column, wider from five augmentations on; higher with more samplers."""
    width = max(COLUMN_WIDTH, 1.7 + 0.43 * table["augmentation"].nunique())
    longest = max(min(len(a), 24) for a in table["augmentation"].astype(str))
    return width, 1.7 + 0.04 * longest + drawing.ROW * table["label"].nunique()


@figure(collect_heatmap, size=heatmap_size)
def heatmap(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean score of every sampler with every augmentation."""
    wide = table.pivot_table(
        index="label", columns="augmentation", values="mean", sort=False, aggfunc="mean"
    )
    draw_grid(wide[sorted(wide.columns)], ax)
    ax.set(xlabel="augmentation", ylabel="")
    caption = f"{drawing.counts(table)}; grey: no score"
    return drawing.finish(ax, table, title="Sampler by augmentation", caption=caption)


def draw_grid(wide: pd.DataFrame, ax: Axes) -> None:
    """Draw mean scores in points, rows and columns by label; what has no score stays grey.

    Values far from the others are written, but do not stretch the colours.
    """
    window = differences.Window.of(wide.melt(value_name="points").dropna(subset="points"), "points")
    sns.heatmap(
        wide,
        ax=ax,
        vmin=window.low,
        vmax=window.high,
        annot=True,
        fmt=".1f",
        annot_kws={"fontsize": 7},
        cmap="cividis",
        cbar_kws={"label": "mean score (points)", "shrink": 0.9},
        linewidths=0.5,
        xticklabels=drawing.row_labels(wide.columns),
        yticklabels=drawing.row_labels(wide.index),
    )
    ax.set_facecolor("0.92")
    ax.grid(visible=False)
    for label in ax.get_xticklabels():
        label.set(rotation=30, horizontalalignment="right")
    ax.tick_params(axis="y", labelrotation=0)
    ax.tick_params(length=0)
