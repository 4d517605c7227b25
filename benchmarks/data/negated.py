"""Another data set, with the negation of every anchor as a given, soft negative.

Source: Wang et al. 2022, SNCSE: Contrastive Learning for Unsupervised Sentence Embedding with Soft
Negative Samples. https://arxiv.org/abs/2201.05979 Its code finds the verb with a parser, and puts
"do not" before one that is no auxiliary; here, without a parser, such sentences get a "Not" in
front, which is that code's last resort. Pair it with the objective `band_margin`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from nsbench.benchmarks.data import datasets, register
from nsbench.benchmarks.data._rows import leaving_out
from nsbench.benchmarks.data._types import DataSet, OwnTest, Pairs, Ranking, TrainingData, normalise
from nsbench.benchmarks.records.cell import named
from nsbench.samplers import Choice

_TO_BE = frozenset({"am", "is", "are", "was", "were"})
_MODAL = frozenset({"can", "could", "will", "would", "shall", "should", "may", "might", "must"})
_CONTRACTED = {"can't": "can", "won't": "will", "shan't": "shall", "cannot": "can"}
_EDGES = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
RESTS = ("prefix", "none")


@register("negated")
class Negated(DataSet):
    """A data set whose rows are given their anchor's negation by rules for English.

    A "not" goes; else the first auxiliary gets one; else "Not" is put in front.

    Args:
        data: The data set, a name or a table with its parameters.
        rest: Sentences with neither "not" nor an auxiliary: ``prefix`` puts "Not" in front,
            ``none`` leaves them without a negation, and counts them.
    """

    data: str | Mapping[str, Any]
    rest: Annotated[str, Choice(*RESTS)] = "prefix"

    def __post_init__(self) -> None:
        try:
            name, params = named(self.data, "negated: data")
            datasets.make(name, **params)
        except (TypeError, ValueError) as error:
            raise ValueError(f"negated: data: {error}") from None

    @property
    def _inner(self) -> DataSet:
        name, params = named(self.data, "negated: data")
        return datasets.make(name, **params)

    @property
    def transductive(self) -> tuple[str, ...]:  # type: ignore[override]  # the inner one's
        """As the other data set."""
        return self._inner.transductive

    def check(self) -> None:
        """As the other data set."""
        self._inner.check()

    def tests(self) -> Sequence[OwnTest]:
        """As the other data set."""
        return self._inner.tests()

    def dev(self) -> Pairs | Ranking | None:
        """As the other data set."""
        return self._inner.dev()

    def __call__(self) -> TrainingData:
        """Read the other data set and negate its anchors."""
        return with_negations(self._inner(), self.rest)


def with_negations(data: TrainingData, rest: str) -> TrainingData:
    """Return the data with a further given negative a row: the negation of its anchor, or none."""
    numbers = {text: number for number, text in enumerate(data.texts)}
    known = [normalise(text) for text in data.texts]
    of_text: dict[int, int] = {}
    column = np.full(data.rows, -1, np.int64)
    for row, (anchor, positive) in enumerate(
        zip(data.anchor.tolist(), data.positive.tolist(), strict=True)
    ):
        if anchor not in of_text:
            text = negation(data.texts[anchor], rest)
            of_text[anchor] = numbers.setdefault(text, len(numbers)) if text else -1
            known += [normalise(text)] * (len(numbers) - len(known))
        found = of_text[anchor]
        if found >= 0 and known[found] not in ("", known[anchor], known[positive]):
            column[row] = found
    meaning = data.meaning
    if meaning is not None:
        meaning = np.concatenate([meaning, np.full(len(numbers) - len(meaning), -1, np.int64)])
    return replace(
        data,
        name=f"{data.name} negated",
        texts=tuple(numbers) if len(numbers) > len(data.texts) else data.texts,
        negatives=np.column_stack([data.negatives, column]),
        meaning=meaning,
        report=leaving_out(data, {"no negation: the row has none": column < 0}),
    )


def negation(text: str, rest: str = "prefix") -> str:
    """Return the negation of an English sentence; empty where no rule fits."""
    words = text.split()
    parts = [_edges(word) for word in words]
    for place, (before, word, after) in enumerate(parts):
        low = word.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        if low == "not":
            kept = before + after
            return " ".join([*words[:place], *([kept] if kept else []), *words[place + 1 :]])
        if low in _CONTRACTED or (low.endswith("n't") and len(low) > 3):
            whole = _CONTRACTED.get(low, word[:-3])
            whole = whole.capitalize() if word[0].isupper() else whole
            return " ".join([*words[:place], before + whole + after, *words[place + 1 :]])
    for place, (before, word, after) in enumerate(parts):
        if word.casefold() in _TO_BE | _MODAL:
            return " ".join([*words[:place], f"{before}{word} not{after}", *words[place + 1 :]])
    if rest == "none" or not words:
        return ""
    return " ".join(["Not", *words])


def _edges(word: str) -> tuple[str, str, str]:
    """Punctuation before a word, the word, and punctuation after it."""
    found = _EDGES.match(word)
    assert found is not None
    before, middle, after = found.groups()
    return before, middle, after
