"""Choices of samplers on shared batches, as texts: anchor, positive and the heaviest negatives.

Cells of one seed have the same weights, batch and views in the first step, so what differs there is
the sampler. The last step's batch is shared too, but ranked by the model that the sampler made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nsbench.analysis.read.difficulty import CellTables
from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.overlap import MOMENTS
from nsbench.analysis.tables.text import records
from nsbench.benchmarks.records import CHOICE_COLUMNS, SEEN_COLUMNS, TEXT_COLUMNS
from nsbench.benchmarks.records.negatives import NEGATIVE_COLUMNS, negatives_of

TWIN = 0.8
"""Share of words from which two texts count as twins."""
MARKS = {
    "same meaning": "labels or the planted truth say that it means the same as the anchor",
    "above the positive by the guide": "the guide model holds it for closer than the positive",
    "text twin": f"at least {TWIN:.0%} of its words are those of the anchor or its positive",
}
"""Reasons why a negative is probably false, and what each says."""


@dataclass(frozen=True)
class Negative:
    """One chosen negative.

    Attributes:
        number: Number of its text in the data; -1 if it was made.
        text: Its text; empty where texts are not kept.
        similarity: Cosine with the anchor, in [-1, 1].
        rank: 1 is the hardest of the anchor's candidates.
        weight: Share of the anchor's gradient, in [0, 1].
        marks: Those of `MARKS` that apply.
    """

    number: int
    text: str
    similarity: float
    rank: int
    weight: float
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """One anchor with what a sampler chose for it, heaviest first.

    Attributes:
        place: Place in the batch.
        anchor: Number of its text.
        text: Its text; empty where texts are not kept.
        positive: Number of the positive's text.
        positive_text: The positive's text.
        positive_similarity: Cosine of the two.
        candidates: Number of candidates that the sampler could choose from.
        count: Number that it chose.
        negatives: The heaviest of them.
    """

    place: int
    anchor: int
    text: str
    positive: int
    positive_text: str
    positive_similarity: float
    candidates: int
    count: int
    negatives: tuple[Negative, ...]


class NegativeTables(Mapping[str, pd.DataFrame]):
    """Tables with `NEGATIVE_COLUMNS` of finished cells by key, read at each access.

    Args:
        results: As loaded.
        texts: Whether texts are shown; otherwise they are empty.

    Attributes:
        left_out: One line for each file that could not be used, as they are read.
    """

    def __init__(self, results: Results, *, texts: bool = True) -> None:
        self._choices = CellTables(results, "choices", (*CHOICE_COLUMNS, *SEEN_COLUMNS))
        self._texts = CellTables(results, "texts", TEXT_COLUMNS)
        self._packed = CellTables(results, "negatives", NEGATIVE_COLUMNS)
        self._show = texts
        self._keys = list(dict.fromkeys((*self._choices, *self._packed)))

    @property
    def left_out(self) -> list[str]:
        """One line for each file that could not be used so far."""
        tables = (self._choices, self._texts, self._packed)
        return [line for table in tables for line in table.left_out.values()]

    def __getitem__(self, key: str) -> pd.DataFrame:
        choices = self._choices.get(key)
        if choices is not None:
            return negatives_of(choices, self._texts.get(key) if self._show else None)
        table = self._packed[key]
        hidden = dict.fromkeys((c for c in NEGATIVE_COLUMNS if c.endswith("_text")), "")
        return table if self._show else table.assign(**hidden)

    def __iter__(self) -> Any:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def chosen(table: pd.DataFrame, moment: str, *, anchors: int, most: int) -> list[Chosen]:
    """Return the first anchors of a shared batch with what was chosen for them.

    Args:
        table: With `NEGATIVE_COLUMNS`.
        moment: ``first`` or ``last`` step.
        anchors: Number of anchors, at most.
        most: Number of negatives of each, at most.

    Raises:
        ValueError: If the moment is unknown.
    """
    if moment not in MOMENTS:
        raise ValueError(f"moment is {moment!r}; known: {', '.join(MOMENTS)}")
    if table.empty:
        return []
    step = table["step"].min() if moment == MOMENTS[0] else table["step"].max()
    out = []
    for _, part in table[table["step"] == step].groupby("place", sort=True):
        rows = records(part.head(most))
        first = rows[0]
        own = _words(first["anchor_text"]), _words(first["positive_text"])
        out.append(
            Chosen(
                place=int(first["place"]),
                anchor=int(first["anchor"]),
                text=str(first["anchor_text"]),
                positive=int(first["positive"]),
                positive_text=str(first["positive_text"]),
                positive_similarity=float(first["positive_similarity"]),
                candidates=int(first["candidates"]),
                count=int(first["chosen"]),
                negatives=tuple(_negative(row, own) for row in rows),
            )
        )
        if len(out) == anchors:
            break
    return out


def _negative(row: Mapping[str, Any], own: Sequence[frozenset[str]]) -> Negative:
    words = _words(row["candidate_text"])
    applies = (
        row["same_meaning"] == 1,
        row["above_in_guide"] == 1,
        any(_alike(words, other) >= TWIN for other in own),
    )
    return Negative(
        number=int(row["candidate"]),
        text=str(row["candidate_text"]),
        similarity=float(row["similarity"]),
        rank=int(row["rank"]) + 1,
        weight=float(row["weight"]),
        marks=tuple(name for name, holds in zip(MARKS, applies, strict=True) if holds),
    )


def _words(text: object) -> frozenset[str]:
    kept = "".join(c if c.isalnum() else " " for c in str(text).casefold())
    return frozenset(kept.split())


def _alike(one: frozenset[str], two: frozenset[str]) -> float:
    """Jaccard overlap of two sets of words; 0 if either is empty."""
    return len(one & two) / len(one | two) if one and two else 0.0
