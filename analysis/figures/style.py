"""One colour, marker and dash per sampler, the same in every figure; settings for legible figures.

A known name's style is fixed in `_LOOKS`; any other name's by a hash of the name, so adding a
sampler changes no other's style. A label with parameters, ``band(high=0.05)``, keeps its name's
colour and takes marker and dash from a hash of the label.

Source: Okabe, Ito 2008, Color universal design (eight colours); Tol 2021, Colour schemes, "muted".
https://jfly.uni-koeln.de/color/ https://personal.sron.nl/~pault/
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl

COLUMN_WIDTH = 3.4
"""Width of one text column in inches."""

_BLACK, _GREY = "#000000", "#7F7F7F"
_BLUE, _RED, _GREEN, _PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_ORANGE, _SKY, _INDIGO, _WINE = "#E69F00", "#56B4E9", "#332288", "#882255"
_OLIVE, _TEAL = "#999933", "#44AA99"
COLOURS = (_BLUE, _RED, _GREEN, _PINK, _ORANGE, _SKY, _INDIGO, _WINE, _OLIVE, _TEAL)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
SOLID = "-"
DASHES: tuple[Any, ...] = (SOLID, (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)))


@dataclass(frozen=True)
class Look:
    """Colour (``#RRGGBB``), marker and line style of one sampler."""

    colour: str
    marker: str
    dash: Any = SOLID

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of matplotlib for a line with markers."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash}

    @property
    def dots(self) -> dict[str, Any]:
        """Arguments of matplotlib for markers without a line."""
        return self.line | {"linestyle": "none"}


_LOOKS: dict[str, Look] = {
    "in_batch": Look(_BLACK, "o"),
    "no_training": Look(_GREY, "X", DASHES[2]),
    "random": Look(_GREY, "s"),
    "oracle": Look(_BLACK, "*", DASHES[1]),
    "hard": Look(_RED, "^"),
    "easiest": Look(_SKY, "v"),
    "semi_hard": Look(_ORANGE, "D"),
    "band": Look(_BLUE, "P"),
    "drop_band": Look(_PINK, "X", DASHES[1]),
    "mined": Look(_OLIVE, "D", DASHES[1]),
    "curriculum": Look(_SKY, "h"),
    "median_triplet": Look(_GREEN, "s"),
    "distance_weighted": Look(_TEAL, "h"),
    "hard_reweighted": Look(_WINE, "^"),
    "ambiguous": Look(_PINK, "D"),
    "positive_aware": Look(_INDIGO, "p"),
    "topic": Look(_OLIVE, "h"),
    "bm25": Look(_OLIVE, "<"),
    "given": Look(_TEAL, "D"),
    "incremental": Look(_GREEN, "p", DASHES[1]),
    "debiased": Look(_BLUE, "<", DASHES[1]),
    "hard_debiased": Look(_WINE, ">", DASHES[1]),
    "fn_cancel": Look(_TEAL, "X", DASHES[1]),
    "guided": Look(_PINK, "*", DASHES[1]),
    "complementary": Look(_INDIGO, "v", DASHES[1]),
    "text_dedup": Look(_SKY, "P", DASHES[1]),
    "random_removal": Look(_GREY, "v", DASHES[1]),
    "mixed": Look(_ORANGE, "<", DASHES[1]),
    "noise": Look(_RED, "h", DASHES[1]),
}


def look(label: str) -> Look:
    """Return the look of a sampler, by its name or its label with parameters in brackets."""
    name, bracket, _ = label.partition("(")
    base = _LOOKS.get(name)
    if base is None:
        base = Look(_pick(COLOURS, name, 0), _pick(MARKERS, name, 1), _pick(DASHES, name, 2))
    if not bracket:
        return base
    return Look(base.colour, _pick(MARKERS, label, 1), _pick(DASHES, label, 2))


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Return the looks of the samplers of one picture, no two with the same colour and marker.

    Where two would be alike, the later one takes the next marker that is free for its colour.
    """
    out: dict[str, Look] = {}
    taken: set[tuple[str, str]] = set()
    for label in dict.fromkeys(labels):
        found = look(label)
        start = MARKERS.index(found.marker) if found.marker in MARKERS else 0
        for step in range(len(MARKERS)):
            if (found.colour, found.marker) not in taken:
                break
            found = replace(found, marker=MARKERS[(start + step + 1) % len(MARKERS)])
        taken.add((found.colour, found.marker))
        out[label] = found
    return out


def _pick(choices: tuple[Any, ...], text: str, byte: int) -> Any:
    return choices[hashlib.sha256(text.encode()).digest()[byte] % len(choices)]


RC: Any = {
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "path.simplify": False,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "nsbench",
    "text.parse_math": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the settings of all figures; matplotlib's are restored afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield
