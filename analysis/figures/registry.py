"""Figures by name: a new one is a module of this folder with a function under `figure`.

A figure is two functions: `collect` makes tables from the results, one per picture, and `draw` puts
such a table on an ``ax``. A picture never shows more than its table holds.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.drawing import Material, curves_size
from nsbench.samplers import suggest

Collect = Callable[[Material], Iterator[tuple[str, pd.DataFrame]]]
Draw = Callable[[pd.DataFrame, Axes], Axes]
Size = Callable[[pd.DataFrame], tuple[float, float]]


@dataclass(frozen=True)
class FigureKind:
    """A figure that can be asked for by name.

    Attributes:
        summary: What it shows, one line.
        collect: Yields a name and a table for each picture.
        draw: Draws one table, as `collect` makes it, on an ``ax`` and returns the ``ax``.
        size: Width and height in inches that a table needs.
        needs: Parts of `Material` without which there is no picture.
    """

    summary: str
    collect: Collect
    draw: Draw
    size: Size = curves_size
    needs: Sequence[str] = ()


_registered: dict[str, FigureKind] = {}


def figure(
    collect: Collect, *, size: Size = curves_size, needs: Sequence[str] = ()
) -> Callable[[Draw], Draw]:
    """Register the decorated function as the `FigureKind.draw` of a figure of its name.

    The first line of its docstring is the summary.

    Raises:
        ValueError: If the name is taken, or `Material` has no such part.
    """
    unknown = set(needs) - set(Material.__dataclass_fields__)
    if unknown:
        raise ValueError(f"figures need parts of Material, which has no {', '.join(unknown)}")

    def register(draw: Draw) -> Draw:
        name = draw.__name__
        if name in _registered:
            taken = _registered[name].draw.__module__
            raise ValueError(f"two figures are called {name!r}: {taken} and {draw.__module__}")
        summary = (draw.__doc__ or name).partition("\n")[0].rstrip(".")
        summary = summary[0].lower() + summary[1:]
        _registered[name] = FigureKind(summary, collect, draw, size, needs)
        return draw

    return register


def figures() -> Mapping[str, FigureKind]:
    """Return every figure in order of name; the first call imports the modules of this folder."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"nsbench.analysis.figures.{module.name}")
    return dict(sorted(_registered.items()))


def figure_kind(name: str) -> FigureKind:
    """Return a figure by name.

    Raises:
        ValueError: If there is none; the message names the nearest and all.
    """
    known = figures()
    if name not in known:
        raise ValueError(f"no figure is called {name!r}. {suggest(name, known)}")
    return known[name]
