"""Figures by name: each is drawn from one CSV, which is written beside the picture.

A figure is two functions: `collect` makes tables from the results, one per picture, and `draw` puts
such a table on an ``ax``. The writer stores the table, reads it back and draws what it read, so a
picture never shows more than its CSV holds. Same table, same bytes.
"""

import difflib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nsbench.analysis.figures import agreement as plots_agreement
from nsbench.analysis.figures import bands as plots_bands
from nsbench.analysis.figures import collapse as plots_collapse
from nsbench.analysis.figures import difficulty as plots_difficulty
from nsbench.analysis.figures import scores as plots_scores
from nsbench.analysis.figures import shares as plots_shares
from nsbench.analysis.figures import texts as plots_texts
from nsbench.analysis.figures import tradeoffs as plots_tradeoffs
from nsbench.analysis.figures import truth as plots_truth
from nsbench.analysis.figures import views as plots_views
from nsbench.analysis.figures.drawing import Material, rows_size
from nsbench.analysis.figures.style import house_style
from nsbench.analysis.read.difficulty import (
    CellTables,
    load_difficulty,
    load_histograms,
    load_random_pairs,
)
from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.leaderboard import Leaderboard, make_leaderboard
from nsbench.analysis.tables.pools import pools
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import slug
from nsbench.benchmarks.records import CHOICE_COLUMNS, PROBE_COLUMNS


@dataclass(frozen=True)
class FigureKind:
    """A figure that can be asked for by name.

    Attributes:
        summary: What it shows, one line.
        collect: Yields a name and a table for each picture.
        draw: Draws one table on an ``ax`` and returns the ``ax``.
        size: Width and height in inches that a table needs.
    """

    summary: str
    collect: Callable[[Material], Iterator[tuple[str, pd.DataFrame]]]
    draw: Callable[[pd.DataFrame, Axes], Axes]
    size: Callable[[pd.DataFrame], tuple[float, float]]


figures: Mapping[str, FigureKind] = {
    "agreement": FigureKind(
        "whether models agree on what is hard: between seeds, with in_batch, between encoders",
        plots_agreement.collect_agreement,
        plots_agreement.agreement,
        rows_size,
    ),
    "alignment_uniformity": FigureKind(
        "alignment of the views against uniformity, from start to end of training",
        plots_collapse.collect_alignment_uniformity,
        plots_collapse.alignment_uniformity,
        plots_collapse.collapse_size,
    ),
    "few_texts": FigureKind(
        "mean score against the number of training texts: few-shot",
        plots_texts.collect_few_texts,
        plots_texts.few_texts,
        plots_difficulty.curves_size,
    ),
    "frequent_tokens": FigureKind(
        "score when the most frequent tokens are left out of the mean, before and after",
        plots_collapse.collect_frequent_tokens,
        plots_collapse.frequent_tokens,
        plots_collapse.collapse_size,
    ),
    "random_pairs": FigureKind(
        "similarities of random texts, untrained and trained: the picture of collapse",
        plots_collapse.collect_random_pairs,
        plots_collapse.random_pairs,
        plots_collapse.collapse_size,
    ),
    "band_ablation": FigureKind(
        "score when one band of the ranking is kept alone, or dropped",
        plots_bands.collect_bands,
        plots_bands.band_ablation,
        plots_bands.bands_size,
    ),
    "difficulty_curves": FigureKind(
        "what each sampler fed the model over training, one picture per quantity",
        plots_difficulty.collect_curves,
        plots_difficulty.difficulty_curves,
        plots_difficulty.curves_size,
    ),
    "drift": FigureKind(
        "how far a fixed set of texts moved from where they started",
        plots_shares.collect_drift,
        plots_shares.drift,
        plots_difficulty.curves_size,
    ),
    "false_negative_rates": FigureKind(
        "false negatives that each sampler picked up against the dialled rate",
        plots_truth.collect_rates,
        plots_truth.false_negative_rates,
        plots_difficulty.curves_size,
    ),
    "false_negative_vs_score": FigureKind(
        "mean score against false negatives among the chosen",
        plots_shares.collect_false,
        plots_shares.false_negative_vs_score,
        plots_difficulty.curves_size,
    ),
    "gradient_share": FigureKind(
        "how much of the softmax weight the hardest x % carry",
        plots_shares.collect_shares,
        plots_shares.gradient_share,
        plots_difficulty.curves_size,
    ),
    "predictors": FigureKind(
        "rank correlation of every difficulty statistic with the score",
        plots_shares.collect_predictors,
        plots_shares.predictors,
        rows_size,
    ),
    "same_meaning": FigureKind(
        "how often candidates mean the same as their anchor, by place in the ranking",
        plots_truth.collect_same,
        plots_truth.same_meaning,
        plots_difficulty.curves_size,
    ),
    "sampler_overlap": FigureKind(
        "how alike samplers choose on the same batches, first and last",
        plots_agreement.collect_overlap,
        plots_agreement.sampler_overlap,
        plots_agreement.overlap_size,
    ),
    "staleness": FigureKind(
        "how old mined and stored candidates have become, one picture per quantity",
        plots_difficulty.collect_staleness,
        plots_difficulty.difficulty_curves,
        plots_difficulty.curves_size,
    ),
    "similarity_ridge": FigureKind(
        "similarities of positives and chosen negatives before and after training",
        plots_shares.collect_ridges,
        plots_shares.similarity_ridge,
        plots_shares.ridge_size,
    ),
    "heatmap": FigureKind(
        "mean score of every sampler with every augmentation",
        plots_scores.collect_heatmap,
        plots_scores.heatmap,
        plots_scores.heatmap_size,
    ),
    "view_grid": FigureKind(
        "mean score of every ordered pair of augmentations, one picture per sampler",
        plots_views.collect_view_grid,
        plots_views.view_grid,
        plots_views.view_grid_size,
    ),
    "leaderboard": FigureKind(
        "mean score and interval of every sampler, and which cannot be told apart",
        plots_scores.collect_leaderboard,
        plots_scores.leaderboard,
        rows_size,
    ),
    "percentile_ledger": FigureKind(
        "which part of the ranked candidates every sampler took",
        plots_difficulty.collect_ledger,
        plots_difficulty.percentile_ledger,
        rows_size,
    ),
    "critical_difference": FigureKind(
        "mean rank over tasks, and bars over what Nemenyi's test cannot tell apart",
        plots_tradeoffs.collect_ranks,
        plots_tradeoffs.critical_difference,
        rows_size,
    ),
    "cost_quality": FigureKind(
        "mean score against sentences encoded, tokens and seconds",
        plots_tradeoffs.collect_cost,
        plots_tradeoffs.cost_quality,
        plots_difficulty.curves_size,
    ),
    "score_vs_difficulty": FigureKind(
        "mean score against what the sampler fed the model, one picture per quantity",
        plots_difficulty.collect_scatter,
        plots_difficulty.score_vs_difficulty,
        plots_difficulty.curves_size,
    ),
}


def figure(name: str) -> FigureKind:
    """A figure by name.

    Raises:
        ValueError: If there is none; the message names the nearest and all.
    """
    if name not in figures:
        close = difflib.get_close_matches(name, figures, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no figure is called {name!r}.{hint} Known: {', '.join(figures)}")
    return figures[name]


def gather(
    results: Results, board: Leaderboard | None = None, *, quantities: Sequence[str] = ()
) -> tuple[Material, list[str]]:
    """What figures are made from, and one line per file that could not be read.

    Args:
        results: As loaded.
        board: Its leaderboard; made here without it.
        quantities: Difficulty quantities to draw; the main ones without any, ``all`` for all.

    Raises:
        ValueError: If a quantity is asked for that no cell has.
    """
    difficulty, bad = load_difficulty(results)
    board = board or make_leaderboard(results)
    material = Material(
        board,
        tuple(pools(results)),
        difficulty,
        tuple(quantities),
        load_histograms(results),
        CellTables(results, "choices", CHOICE_COLUMNS),
        CellTables(results, "probe", PROBE_COLUMNS),
        load_random_pairs(results),
        results.scores[~results.scores["main"].astype(bool)],
    )
    plots_difficulty.wanted(material)
    return material, bad


def pictures(material: Material, names: Sequence[str] = ()) -> Iterator[tuple[str, str, str]]:
    """Every picture of the figures asked for.

    Args:
        material: What they are made from.
        names: Figures; all without any.

    Yields:
        Name of the figure, file name without ending, and the table as CSV.

    Raises:
        ValueError: If a figure is not known, before anything is drawn.
    """
    kinds = {name: figure(name) for name in (names or figures)}
    for name, kind in kinds.items():
        for detail, table in kind.collect(material):
            stem = slug(f"{name}-{detail}" if detail else name, limit=100)
            yield name, stem, table.to_csv(index=False, lineterminator="\n", float_format="%.9g")


def render(name: str, csv: str, fmt: str) -> bytes:
    """Draw one picture from the text of its CSV.

    Args:
        name: The figure.
        csv: The table, as written.
        fmt: ``svg`` or ``png``.

    Returns:
        The file; the same bytes for the same table.
    """
    kind = figure(name)
    table = pd.read_csv(io.StringIO(csv), keep_default_na=False, na_values=[""])
    return picture(partial(kind.draw, table), kind.size(table), fmt)


def picture(draw: Callable[[Axes], object], size: tuple[float, float], fmt: str) -> bytes:
    """One picture in the house's style; the same bytes whenever the same is drawn.

    Args:
        draw: Draws on the axis.
        size: Width and height in inches.
        fmt: ``svg`` or ``png``.
    """
    out = io.BytesIO()
    with house_style():
        canvas = FigureCanvasAgg(Figure(figsize=size))
        draw(canvas.figure.add_subplot())
        metadata = {"Date": None, "Creator": None} if fmt == "svg" else {"Software": None}
        canvas.figure.savefig(out, format=fmt, metadata=metadata)
    return out.getvalue()


def write_figures(material: Material, out: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write CSV, SVG and PNG of every picture.

    Args:
        material: What they are made from.
        out: The results folder; files go to its ``figures``.
        names: Figures; all without any.
    """
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, stem, csv in pictures(material, names):
        write_atomically(folder / f"{stem}.csv", csv)
        written.append(folder / f"{stem}.csv")
        for fmt in ("svg", "png"):
            write_atomically(folder / f"{stem}.{fmt}", render(name, csv, fmt))
            written.append(folder / f"{stem}.{fmt}")
    return written
