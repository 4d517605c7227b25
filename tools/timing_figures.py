"""Draw the CSV files of the timing scripts: ``python -m tools.timing_figures DIR``.

Reads ``peers.csv``, ``growth.csv`` and ``scale.csv`` of the folder, those that are there, and draws
``peers``, ``growth_time``, ``growth_memory`` and ``scale`` as PNG and SVG.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from nsbench.analysis.figures.drawing import add_caption, add_legend, add_title
from nsbench.analysis.figures.pictures import picture
from nsbench.analysis.figures.style import COLUMN_WIDTH, look
from nsbench.benchmarks.files import write_atomically
from tools.timing._compare import PEERS, exponent
from tools.timing.growth import GROWTH
from tools.timing.scale import SCALE, SMALLEST

_ROW = 0.3


def ratios(table: pd.DataFrame, ax: Axes) -> Axes:
    """One row per job and number of threads: each round's ratio, and the median as a bar.

    Args:
        table: Columns job, threads, ratio, against, torch, platform; one row per round.
        ax: Where to draw.
    """
    groups = list(table.groupby(["job", "threads"], sort=False))[::-1]
    names = []
    for place, ((job, threads), rows) in enumerate(groups):
        colour = look(str(job)).colour
        middle = float(rows["ratio"].median())
        ax.barh(place, middle, color=colour, alpha=0.35, height=0.6)
        ax.plot(rows["ratio"], np.full(len(rows), place), "o", color=colour, markersize=3)
        ax.annotate(
            f"{middle:.2f}", (rows["ratio"].max(), place), (5, 0), textcoords="offset points",
            va="center", fontsize=7,
        )  # fmt: skip
        names.append(f"{job}, {threads} thread{'' if threads == 1 else 's'}")
    ax.set_yticks(range(len(names)), names)
    ax.axvline(1, color="0.4", linewidth=0.8, linestyle=":")
    ax.set_xlim(0, 1.15 * float(table["ratio"].max()))
    ax.set_xlabel("their time / our time (1: as fast)")
    add_title(ax, "Their time to ours")
    against = table.drop_duplicates("job")
    whom = "; ".join(f"{r.job}: {r.against}" for r in against.itertuples())
    machine = ", ".join(sorted({f"torch {r.torch}, {r.platform}" for r in table.itertuples()}))
    add_caption(ax, f"Dots: rounds; bar: their median. {machine}. {whom}.")
    return ax


def growth(table: pd.DataFrame, ax: Axes, *, column: str = "seconds") -> Axes:
    """One line per series over its size, both axes logarithmic, with the fitted exponent.

    Args:
        table: Columns what, threads, axis, size, and ``column``.
        ax: Where to draw.
        column: ``seconds`` or ``peak_mib``.
    """
    label = {"seconds": "seconds", "peak_mib": "peak memory above the start, MiB"}[column]
    axes = []
    for (what, threads), rows in table.groupby(["what", "threads"], sort=False):
        rows = rows.sort_values("size")
        values = rows[column].clip(lower=1e-9 if column == "seconds" else 1.0)
        slope = exponent(list(rows["size"]), list(values)) if len(rows) > 1 else float("nan")
        style = look(str(what))
        text = f"{what}, {threads} thread{'' if threads == 1 else 's'}: exponent {slope:.2f}"
        ax.plot(rows["size"], values, **style.line, label=text)
        axes.append(f"{what}: {rows['axis'].iloc[0]}")
    _logarithmic(ax)
    ax.set_xlabel("size")
    ax.set_ylabel(label)
    add_title(ax, "Time" if column == "seconds" else "Peak memory")
    add_caption(ax, "Size is, for " + "; ".join(axes) + ". Exponent 1 is linear, 0 constant.")
    add_legend(ax, len(axes))
    return ax


def _logarithmic(ax: Axes) -> None:
    """Make both axes logarithmic, with plain numbers: dollar signs are not read as mathematics."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda value, place: f"{value:,g}")
        axis.set_minor_formatter(NullFormatter())


def per_cell(table: pd.DataFrame, ax: Axes) -> Axes:
    """Processor time of a recorded cell over the number of cells, both axes logarithmic.

    Args:
        table: Columns what, cells, cpu_seconds, peak_mib and cell_ms.
        ax: Where to draw.
    """
    for what, rows in table.groupby("what", sort=False):
        rows = rows.sort_values("cells")
        seconds, memory = (float(rows[c].iloc[-1]) for c in ("cpu_seconds", "peak_mib"))
        rows = rows[rows["cell_ms"] > 0]
        style = look(str(what))
        text = f"{what}: {seconds:.3g} s, {memory / 1024:.2g} GiB"
        ax.plot(rows["cells"], rows["cell_ms"], **style.line, label=text)
    _logarithmic(ax)
    ax.set_xlabel("recorded cells")
    ax.set_ylabel("processor time of a cell, ms")
    add_title(ax, "Cost of a cell in a large folder")
    add_caption(
        ax,
        f"Above what a folder of {SMALLEST} cells takes. Legend: all of it, and the peak memory, "
        f"at {table['cells'].max():,} cells.",
    )
    add_legend(ax, table["what"].nunique())
    return ax


def draw(path: Path, table: pd.DataFrame, plot: Callable[[pd.DataFrame, Axes], object]) -> None:
    """Draw one picture as PNG and SVG, one text column wide."""
    rows = table.groupby(list(table.columns[:2])).ngroups
    height = 1.3 + _ROW * rows if plot is ratios else 3.6
    for form in ("png", "svg"):
        made = picture(partial(plot, table), (COLUMN_WIDTH, height), form)
        write_atomically(path.with_suffix("." + form), made)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the files that are there; exit code 2 if there are none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    drawn = []
    if (folder / PEERS).exists():
        draw(folder / "peers.png", pd.read_csv(folder / PEERS), ratios)
        drawn.append("peers")
    if (folder / GROWTH).exists():
        table = pd.read_csv(folder / GROWTH)
        draw(folder / "growth_time.png", table, growth)
        draw(folder / "growth_memory.png", table, lambda t, ax: growth(t, ax, column="peak_mib"))
        drawn.append("growth")
    if (folder / SCALE).exists():
        draw(folder / "scale.png", pd.read_csv(folder / SCALE), per_cell)
        drawn.append("scale")
    if not drawn:
        sys.stderr.write(f"{folder} has none of {PEERS}, {GROWTH} and {SCALE}\n")
        return 2
    sys.stdout.write(f"drew {', '.join(drawn)} in {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
