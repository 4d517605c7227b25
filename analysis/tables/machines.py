"""Seconds of cells that ran on different CPUs: they cannot be compared, so some are left out."""

from collections import Counter

import pandas as pd

SECONDS = ("seconds_train", "seconds_evaluate", "wall_s")


def comparable_seconds(cells: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Leave out the seconds of cells that ran on another CPU than most.

    Records of earlier versions do not say which instructions the CPU had; they count as of one.

    Args:
        cells: One row per cell, with ``status`` and, where a record says it, ``cpu``.

    Returns:
        The cells, and a note on what was left out; empty if nothing was.
    """
    columns = [name for name in SECONDS if name in cells]
    if "cpu" not in cells or not columns:
        return cells, ""
    kinds = cells["cpu"].fillna("not recorded")
    counts = Counter(kinds[cells["status"] == "done"])
    if len(counts) < 2:
        return cells, ""
    most = min(counts, key=lambda kind: (-counts[kind], kind))
    other = ", ".join(sorted(set(counts) - {most}))
    left = counts.total() - counts[most]
    cells = cells.copy()
    cells.loc[kinds != most, columns] = float("nan")
    return cells, (
        f"the seconds of {left} of {counts.total()} cells are left out: they ran on a CPU with "
        f"other instructions ({other}) than most ({most})"
    )
