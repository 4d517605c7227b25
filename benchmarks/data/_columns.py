"""Options of a layout, the columns that it reads, and those that it must not pass over."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from nsbench.benchmarks.data._reading import RowError
from nsbench.benchmarks.data._rows import Rows
from nsbench.samplers import one_of

# Entailment classes as `TrainingData.nli` numbers them.
NLI = {"contradiction": 0, "entailment": 1, "neutral": 2}
NLI_ROWS = ("triplets", "pairs")
NO_CLASS = ("", "-", "-1", "not_entailment")  # SNLI without a majority, two-way sets such as RTE
VIEWS = ("pairs", "text", "graded", "label")
OF_SOME = ("graded", "label")
"""Values of ``views`` that only some layouts read."""
MISSPELT = 0.82
TEXT_SIGNS = frozenset(["positive", "positives", "pos", "negative", "negatives", "neg", "negs"])
PAIR_SIGNS = TEXT_SIGNS | {
    *("class", "duplicate", "entailment", "gold", "grade", "judgement", "judgment", "label"),
    *("labels", "rating", "ratings", "relevance", "relevant", "score", "scores", "sim"),
    *("similarity", "target", "match", "paraphrase", "related", "relatedness", "weight", "weights"),
    *("correct", "cos", "cosine", "equal", "gt", "hn", "hns", "same", "truth", "wrong", "y"),
}
"""Words of columns that say whether, or how much, two texts of a row belong together."""
_STEMS = re.compile(
    "contradict|distract|duplic|entail|equivalen|incorrect|judg|mismatch|negativ|paraphras|positiv"
    "|reject|relevan|similar|unrelated"
)
"""Parts of such words."""
_GRADE = re.compile(r"(?i)true|false|[-+]?\d*\.\d*[1-9]\d*(e[-+]?\d+)?")


class OptionUnread(ValueError):
    """An option is set that the rows of a layout do not read."""


@dataclass(frozen=True)
class Options:
    """Options of a layout.

    Attributes:
        min_score: Pairs of ``sentence1, sentence2, score`` count as positives from this score on;
            ``None`` reads the sentences as plain texts and ignores the score.
        nli: "triplets" or "pairs", see `File`.
        nli_labels: The class that each number stands for.
        passages: Text of every document id, for layouts that name documents.
        views: One of `VIEWS`, see `File`.
    """

    min_score: float | None = None
    nli: str = "triplets"
    nli_labels: Sequence[str] = ()
    passages: Mapping[str, str] | None = None
    views: str = "pairs"

    def check(self, owner: str) -> None:
        """Raise ``ValueError`` for an option out of its range."""
        one_of(owner, "nli", self.nli, NLI_ROWS)
        for label in self.nli_labels:
            one_of(owner, "nli_labels", label, NLI)
        score = self.min_score
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if score is not None and not (number and math.isfinite(score)):
            raise ValueError(f"{owner}: min_score must be a number or left out, got {score!r}")
        if self.views == "graded" and score is not None:
            raise ValueError(
                f"{owner}: min_score is {score!r}, but views is 'graded', which keeps every pair"
            )


@dataclass(frozen=True)
class Layout:
    """A set of columns, and how their rows are read.

    Attributes:
        required: Columns by which it is recognised.
        optional: Other columns that are read, in words; ``negative_1, ...`` for numbered ones.
        read: Adds one row, or raises `RowError`.
        harmless: Columns that are not read and change no row, though their names sound like it.
        ids: Columns with ids, which change no row but are kept.
        options: Names of the `Options` that its rows read, and of `OF_SOME`.
        signs: Words in the names of columns that would change what a row means.
    """

    required: tuple[str, ...]
    optional: str
    read: Callable[[Rows, str, Mapping[str, Any], Options], None]
    harmless: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    signs: frozenset[str] = PAIR_SIGNS

    def __str__(self) -> str:
        return ", ".join(self.required) + (f" [, {self.optional}]" if self.optional else "")

    @cached_property
    def known(self) -> frozenset[str]:
        """Names of the columns that it reads, but for numbered ones."""
        words = (w for w in re.split(r", | or ", self.optional) if w not in ("", "..."))
        return frozenset([*self.required, *words])

    def check(self, options: Options, source: str) -> None:
        """Raise `OptionUnread` for an option that is set and that its rows do not read."""
        unread = [
            "corpus" if name == "passages" else f"{name} = {value!r}"
            for name in ("min_score", "nli", "nli_labels", "passages")
            if name not in self.options
            and (value := getattr(options, name)) != getattr(Options, name)
            and value not in ([],)
        ]
        if options.views in OF_SOME and options.views not in self.options:
            unread.append(f"views = {options.views!r}")
        if unread:
            raise OptionUnread(f"{source}: {unread[0]} is set, but rows of {self} do not read it")

    def unread(self, where: str, columns: Mapping[str, Any], *, named: bool = False) -> set[str]:
        """The columns that are not read.

        Args:
            where: Place of the row.
            columns: The row, or by our names the file's.
            named: True for names; then no value says what a column is.

        Raises:
            RowError: If one would change what the row means, or looks like a misspelt one. Where
                pairs have signs, a truth value, a fraction or a list of texts is one.
        """
        known = self.known | self.ids
        found = {c for c in columns if c not in known and not _numbered(self, c)}
        absent = self.known - set(self.required) - set(columns)
        for column in sorted(found - self.harmless):
            pairs = self.signs is PAIR_SIGNS
            words = {w.casefold() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)}
            told = bool(words & self.signs)
            told |= pairs and bool(_STEMS.search(column.casefold()))
            told |= pairs and not named and _tells(columns[column])
            near = [c for c in sorted(absent) if sorted(c) == sorted(column)]
            near += get_close_matches(column, absent, 1, MISSPELT)
            if near or told:
                hint = f" (is it {near[0]!r}?)" if near else ""
                raise RowError(
                    where,
                    f"the column {column!r} may change what a row means, and rows of {self} do "
                    f"not read it{hint}",
                    ". Rename it with columns = {...}, or name there only the columns to read",
                    kind=f"the column {column!r} may change what a row means",
                )
        return found


def _tells(value: object) -> bool:
    """True for a value that says something of two texts, or may be negatives: no name, no count."""
    if isinstance(value, list):
        return any(isinstance(item, str) for item in value)
    return isinstance(value, bool | float | str) and bool(_GRADE.fullmatch(str(value).strip()))


def _numbered(layout: Layout, column: str) -> bool:
    return "negative_1" in layout.known and bool(re.fullmatch(r"negative_\d+", column))
