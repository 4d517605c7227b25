"""One row per cell, made column by column from pieces that rows share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.columns import AXES, IDENTITY, Piece


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
    columns: dict[str, Any] = dict.fromkeys([*IDENTITY, "planned"])
    columns |= dict.fromkeys(f"{axis}_name" for axis in AXES if axis != "augmentation")
    for pieces in zip(*rows, strict=True):
        distinct = list({id(piece): piece for piece in pieces}.values())
        place = {id(piece): number for number, piece in enumerate(distinct)}
        codes = np.array([place[id(piece)] for piece in pieces])
        for name in dict.fromkeys(name for piece in distinct for name in piece):
            found = pd.Series([piece.get(name) for piece in distinct]).array.take(codes)
            if columns.get(name) is not None:
                lacks = np.array([name not in piece for piece in distinct])[codes]
                known = zip(found, columns[name], lacks, strict=True)
                found = pd.Series([old if lack else new for new, old, lack in known]).array
            columns[name] = found
    if not rows:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    rest = [c for c in columns if c not in IDENTITY]
    settings = sorted(c for c in rest if c.startswith("p_"))
    names = [*IDENTITY, *settings, *(c for c in rest if not c.startswith("p_"))]
    table = pd.DataFrame({name: columns[name] for name in names})
    return table.sort_values([*AXES, "seed", "key"], kind="stable", ignore_index=True)
