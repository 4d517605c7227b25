"""One row per cell, made column by column from pieces that rows share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.columns import AXES, IDENTITY, Piece

_ABSENT: Any = object()


def cell_table(rows: Sequence[tuple[Piece, ...]]) -> pd.DataFrame:
    """Return a table of rows in pieces, sorted by identity.

    A table of 100,000 dicts takes gigabytes, and minutes to be sorted; here a column is the
    values of its distinct pieces, taken by row.

    Args:
        rows: Equally many pieces each, whose names make up `IDENTITY` at least; of a name in
            several pieces the last counts.

    Returns:
        Identity first, then parameters by name, then the rest as first met; a value that a row
        lacks is missing.
    """
    taken = [_Slot(pieces) for pieces in zip(*rows, strict=True)]
    names = _names(taken)
    if not rows:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in names})
    order = pd.DataFrame({n: _column(taken, n) for n in (*AXES, "seed", "key")})
    places = order.sort_values(list(order.columns), kind="stable").index.to_numpy()
    return pd.DataFrame({n: _column(taken, n).take(places) for n in names}, columns=names)


class _Slot:
    """The pieces at one place of every row."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        ids = np.fromiter(map(id, pieces), dtype=np.int64, count=len(pieces))
        _, first, self.codes = np.unique(ids, return_index=True, return_inverse=True)
        self.distinct = [pieces[i] for i in first]
        shapes: dict[tuple[str, ...], int] = {}
        self.shape_of = np.array([shapes.setdefault(tuple(p), len(shapes)) for p in self.distinct])
        self.shapes = list(shapes)
        self.names = {name for shape in self.shapes for name in shape}


def _column(slots: Sequence[_Slot], name: str) -> Any:
    """Return the values of one column, as an array of the type that pandas infers."""
    holding = [s for s in slots if name in s.names]
    if len(holding) == 1:
        slot = holding[0]
        return pd.Series([p.get(name) for p in slot.distinct]).array.take(slot.codes)
    values = [None] * len(slots[0].codes)
    for slot in holding:
        found = [piece.get(name, _ABSENT) for piece in slot.distinct]
        for row, code in enumerate(slot.codes):
            if found[code] is not _ABSENT:
                values[row] = found[code]
    return pd.Series(values).array


def _names(slots: Sequence[_Slot]) -> list[str]:
    """Identity first, then parameters in order of name, then the rest in order of appearance."""
    seen = dict.fromkeys([*IDENTITY, "planned"])
    seen |= dict.fromkeys(f"{axis}_name" for axis in AXES if axis != "augmentation")
    for row in _first_of_each_shape(slots):
        for slot in slots:
            seen |= dict.fromkeys(slot.distinct[slot.codes[row]])
    rest = [c for c in seen if c not in IDENTITY]
    settings = sorted(c for c in rest if c.startswith("p_"))
    return [*IDENTITY, *settings, *(c for c in rest if not c.startswith("p_"))]


def _first_of_each_shape(slots: Sequence[_Slot]) -> list[int]:
    """The first row with each combination of names, in order."""
    if not slots:
        return []
    alike = np.zeros(len(slots[0].codes), dtype=np.int64)
    for slot in slots:
        if len(slot.shapes) > 1:
            both = alike * len(slot.shapes) + slot.shape_of[slot.codes]
            _, alike = np.unique(both, return_inverse=True)
    return sorted(np.unique(alike, return_index=True)[1].tolist())
