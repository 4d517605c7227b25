"""The part of the choices that a reader looks at: a few anchors with their heaviest negatives.

A cell's ``choices.parquet`` and ``texts.parquet`` hold all that was chosen on the shared batches.
Packed results keep ``negatives.parquet`` in their place, for one seed of each method.
"""

from typing import Any

import pandas as pd

from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.records.record import CHOICE_COLUMNS, SEEN_COLUMNS, RunRecord

SHOWN_ANCHORS = 16
SHOWN_NEGATIVES = 20
"""Of one anchor, the heaviest."""
PACKED_ANCHORS = 4
PACKED_NEGATIVES = 8
"""Fewer where results are packed to be published: an excerpt of the data, not a copy."""
TEXTS = ("anchor_text", "positive_text", "candidate_text")
NEGATIVE_COLUMNS = (*CHOICE_COLUMNS, *SEEN_COLUMNS, "chosen", *TEXTS)


def negatives_of(choices: pd.DataFrame, texts: pd.DataFrame | None) -> pd.DataFrame:
    """Return the first anchors of each shared batch with their heaviest negatives.

    Args:
        choices: A ``choices.parquet``; empty without `SEEN_COLUMNS`, which older versions lack.
        texts: Its ``texts.parquet``, or ``None`` where texts are not kept.

    Returns:
        `NEGATIVE_COLUMNS`, heaviest first; ``chosen`` counts all that the anchor's sampler chose,
        texts are empty where they are not kept, or were made and have none.
    """
    if not set(SEEN_COLUMNS) <= set(choices.columns):
        return pd.DataFrame(columns=list(NEGATIVE_COLUMNS))
    kept = choices[choices["place"] < SHOWN_ANCHORS]
    by_anchor = ["step", "place", "anchor"]
    chosen = kept.groupby(by_anchor)["candidate"].transform("size").astype("int32")
    kept = kept.assign(chosen=chosen).sort_values(
        [*by_anchor, "weight", "rank", "candidate"],
        ascending=[True, True, True, False, True, True],
        kind="stable",
    )
    kept = kept.groupby(by_anchor, sort=False).head(SHOWN_NEGATIVES).reset_index(drop=True)
    known: dict[Any, str] = {} if texts is None else dict(texts.to_numpy().tolist())
    for name in TEXTS:
        found = [known.get(n, "") for n in kept[name.removesuffix("_text")].tolist()]
        kept[name] = pd.Series(found, dtype="str")
    return kept[list(NEGATIVE_COLUMNS)]


def excerpt(table: pd.DataFrame) -> pd.DataFrame:
    """Return the part of `negatives_of` that packed results keep, in the same order."""
    kept = table[table["place"] < PACKED_ANCHORS]
    heaviest = kept.groupby(["step", "place", "anchor"], sort=False).head(PACKED_NEGATIVES)
    return heaviest.reset_index(drop=True)


def method_of(record: RunRecord) -> str:
    """Return a text that the cells of one method share, regardless of their seed."""
    return canonical_json({k: v for k, v in record.cell.items() if k not in ("seed", "inputs")})
