"""Methods of a comparison group in words: the same name in every sentence, table and figure."""

import pandas as pd

from nsbench.analysis.tables.text import records

_FURTHER = ("objective", "candidates", "budget")


def method_names(rows: pd.DataFrame) -> list[str]:
    """Return a name for each row: its sampler, and what else rows of this sampler differ in."""
    further = [c for c in _FURTHER if c in rows]
    several = {c: rows.groupby("sampler")[c].nunique().gt(1) for c in further}
    return [
        " / ".join([str(r["sampler"]), *(str(r[c]) for c in further if several[c][r["sampler"]])])
        for r in records(rows)
    ]
