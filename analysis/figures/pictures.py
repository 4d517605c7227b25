"""Pictures of results: each is drawn from one CSV, which is stored next to it.

The table of a picture is written, read again and drawn from what was read. Same table, same bytes.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nsbench.analysis.figures.difficulty import wanted
from nsbench.analysis.figures.drawing import Material
from nsbench.analysis.figures.registry import figure_kind, figures
from nsbench.analysis.figures.style import house_style
from nsbench.analysis.read.difficulty import CellTables, load_difficulty, load_random_pairs
from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.leaderboard import Leaderboard, make_leaderboard
from nsbench.analysis.tables.pools import pools
from nsbench.analysis.tables.text import plain_cells, safe_texts
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import slug
from nsbench.benchmarks.records import CHOICE_COLUMNS, HISTOGRAM_COLUMNS, PROBE_COLUMNS

NAMES = (
    *("sampler", "method", "baseline", "augmentation", "view1", "view2", "objective", "pool"),
    *("encoder", "data", "regime", "task", "arm", "group", "label", "quantity", "kind", "verdict"),
    *("shared", "unit", "by", "text", "against", "columns"),
)
"""Columns of figures that hold names and words: a task may be called ``01``."""


def gather(
    results: Results, board: Leaderboard | None = None, *, quantities: Sequence[str] = ()
) -> tuple[Material, list[str]]:
    """Collect what figures are made from; return one line per file that could not be read, too.

    Args:
        results: As loaded.
        board: Its leaderboard; made here if ``None``.
        quantities: Difficulty quantities to draw; empty for the main ones, ``all`` for all.

    Raises:
        ValueError: If no cell has one of the quantities.
    """
    difficulty, bad = load_difficulty(results)
    material = Material(
        board or make_leaderboard(results),
        tuple(pools(results)),
        difficulty,
        tuple(quantities),
        CellTables(results, "histograms", HISTOGRAM_COLUMNS),
        CellTables(results, "choices", CHOICE_COLUMNS),
        CellTables(results, "probe", PROBE_COLUMNS),
        load_random_pairs(results),
        results.scores[~results.scores["main"].astype(bool)],
    )
    wanted(material)
    return material, bad


def unread(material: Material) -> list[str]:
    """Return one line for each table that could not be used when figures were drawn."""
    tables = (material.histograms, material.choices, material.probes)
    return [line for t in tables if isinstance(t, CellTables) for line in t.left_out.values()]


def pictures(material: Material, names: Sequence[str] = ()) -> Iterator[tuple[str, str, str]]:
    """Yield figure, file name without ending, and table as CSV of every picture or some figures.

    Raises:
        ValueError: If a figure is not known, before anything is drawn.
    """
    kinds = {name: figure_kind(name) for name in (names or figures())}
    for name, kind in kinds.items():
        if not all(len(getattr(material, part)) for part in kind.needs):
            continue
        for detail, table in kind.collect(material):
            stem = slug(f"{name}-{detail}" if detail else name, limit=100)
            safe = safe_texts(table)  # to open in a spreadsheet
            yield name, stem, safe.to_csv(index=False, lineterminator="\n", float_format="%.9g")


def render(name: str, csv: str, fmt: str) -> bytes:
    """Draw a picture from its CSV as ``svg`` or ``png``; the same table gives the same bytes."""
    kind = figure_kind(name)
    table = table_of(csv)
    return picture(partial(kind.draw, table), kind.size(table), fmt)


def table_of(csv: str) -> pd.DataFrame:
    """Return the table of a figure's CSV; names stay texts, also where they look like numbers."""
    names = dict.fromkeys(NAMES, str)
    read = pd.read_csv(io.StringIO(csv), dtype=names, keep_default_na=False, na_values=[""])
    return plain_cells(read)


def picture(draw: Callable[[Axes], object], size: tuple[float, float], fmt: str) -> bytes:
    """Return a picture in our style, as ``svg`` or ``png``, of a width and height in inches."""
    out = io.BytesIO()
    with house_style():
        canvas = FigureCanvasAgg(Figure(figsize=size))
        draw(canvas.figure.add_subplot())
        metadata = {"Date": None, "Creator": None} if fmt == "svg" else {"Software": None}
        canvas.figure.savefig(out, format=fmt, metadata=metadata)
    return out.getvalue() if fmt == "svg" else _small(out)


def _small(png: io.BytesIO) -> bytes:
    """Return a picture with a palette of 256 colours, about a third of its size."""
    out = io.BytesIO()
    with Image.open(png) as image:
        few = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(out, "png", optimize=True, dpi=few.info["dpi"])
    return out.getvalue()


def write_figures(material: Material, out: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write CSV, SVG and PNG of every picture, or of some figures, into ``figures`` of a folder."""
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, stem, csv in pictures(material, names):
        for ending in ("csv", "svg", "png"):
            written.append(folder / f"{stem}.{ending}")
            write_atomically(written[-1], csv if ending == "csv" else render(name, csv, ending))
    return written
