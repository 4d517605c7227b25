"""Layouts of files and hub data sets: the columns that make a training row.

The layout is recognised by its required columns in the first row, in the order of `LAYOUTS`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from nsbench.benchmarks.data._records import Record
from nsbench.benchmarks.data._types import Ints, TrainingData
from nsbench.samplers import one_of, suggest

# Entailment classes as `TrainingData.nli` numbers them.
NLI = {"contradiction": 0, "entailment": 1, "neutral": 2}
NLI_ROWS = ("triplets", "pairs")
NO_CLASS = ("", "-", "-1", "not_entailment")  # SNLI without a majority, two-way sets such as RTE
VIEWS = ("pairs", "text")


@dataclass(frozen=True)
class Options:
    """Options of a layout.

    Attributes:
        min_score: Pairs of ``sentence1, sentence2, score`` count as positives from this score on;
            ``None`` reads the sentences as plain texts and ignores the score.
        nli: "triplets" or "pairs", see `File`.
        nli_labels: The class that each number stands for.
        passages: Text of every document id, for layouts that name documents.
    """

    min_score: float | None = None
    nli: str = "triplets"
    nli_labels: Sequence[str] = ()
    passages: Mapping[str, str] | None = None

    def check(self, owner: str) -> None:
        """Raise ``ValueError`` for an option out of its range."""
        one_of(owner, "nli", self.nli, NLI_ROWS)
        for label in self.nli_labels:
            one_of(owner, "nli_labels", label, NLI)
        score = self.min_score
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if score is not None and not (number and math.isfinite(score)):
            raise ValueError(f"{owner}: min_score must be a number or left out, got {score!r}")


@dataclass
class Rows:
    """Rows as they are read; equal texts are held once."""

    texts: dict[str, int] = field(default_factory=dict)
    anchor: list[int] = field(default_factory=list)
    positive: list[int] = field(default_factory=list)
    negatives: list[list[int]] = field(default_factory=list)
    nli: list[int] = field(default_factory=list)
    labels: list[object] = field(default_factory=list)

    def text(self, text: str) -> int:
        """The number of a text."""
        return self.texts.setdefault(text, len(self.texts))

    def add(self, anchor: str, positive: str, negatives: Iterable[str] = ()) -> None:
        """Add a row."""
        self.anchor.append(self.text(anchor))
        self.positive.append(self.text(positive))
        self.negatives.append([self.text(n) for n in negatives])

    def data(self, name: str, revision: str) -> TrainingData:
        """The rows as arrays, lists of negatives filled up with -1."""
        k = max((len(n) for n in self.negatives), default=0)
        negatives = np.full((len(self.anchor), k), -1, dtype=np.int64)
        for row, given in enumerate(self.negatives):
            negatives[row, : len(given)] = given
        meaning = None
        if any(label is not None for label in self.labels):
            ids: dict[object, int] = {}
            meaning = np.full(len(self.texts), -1, dtype=np.int64)
            for text, label in zip(self.anchor, self.labels, strict=True):
                if label is not None:
                    meaning[text] = ids.setdefault(label, len(ids))
        return TrainingData(
            name=name,
            texts=tuple(self.texts),
            anchor=np.array(self.anchor, dtype=np.int64),
            positive=np.array(self.positive, dtype=np.int64),
            negatives=negatives,
            meaning=meaning,
            nli=np.array(self.nli, dtype=np.int64) if self.nli else None,
            revision=revision,
        )


@dataclass(frozen=True)
class Layout:
    """A set of columns, and how their rows are read."""

    required: tuple[str, ...]
    optional: str
    read: Callable[[Rows, Iterable[Record], Options], None]

    def __str__(self) -> str:
        return ", ".join(self.required) + (f" [, {self.optional}]" if self.optional else "")


def read(rows: Iterable[Record], columns: Mapping[str, str], options: Options, source: str) -> Rows:
    """Recognise the layout of records and read them all.

    Raises:
        ValueError: If there is no row, no layout fits, or a row does not fit its layout.
    """
    found, records = recognise(rows, columns, source)
    out = Rows()
    found.read(out, records, options)
    if not out.anchor:
        raise ValueError(f"{source} has rows, but none of them makes a training pair")
    return out


def recognise(
    rows: Iterable[Record], columns: Mapping[str, str], source: str
) -> tuple[Layout, Iterable[Record]]:
    """The layout that the first record has, and all records with their columns renamed.

    Args:
        rows: The records.
        columns: ``{our name: the file's name}``; if given, only the named columns are read.
        source: What to call the whole in messages.

    Raises:
        ValueError: If there is no record, or none of `LAYOUTS` fits; names the columns.
    """
    rest = iter(rows)
    first = next(rest, None)
    if first is None:
        raise ValueError(f"{source} is empty: it has no row")
    for theirs in columns.values():
        if theirs not in first[1]:
            raise ValueError(f"{source} has no column {theirs!r}. {suggest(theirs, first[1])}")
    have = set(columns) if columns else set(first[1])
    for layout in LAYOUTS:
        if have.issuperset(layout.required):
            return layout, _renamed(chain([first], rest), columns)
    legal = "; ".join(map(str, LAYOUTS))
    raise ValueError(
        f"{source}: no layout fits the columns {', '.join(sorted(map(str, have)))}. Legal are: "
        f"{legal}. Rename with columns = {{anchor = '...', positive = '...'}}"
    )


def _renamed(rows: Iterable[Record], columns: Mapping[str, str]) -> Iterable[Record]:
    if not columns:
        return rows
    return ((where, {ours: row.get(c) for ours, c in columns.items()}) for where, row in rows)


def _filled(where: str, column: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: {column} must be text, got {value!r} ({type(value).__name__})")
    if not value.strip():
        raise ValueError(f"{where}: {column} is blank")
    return value.strip()


def text_of(where: str, row: Mapping[str, Any], column: str) -> str:
    """The text in a column of a row, without white space around it; it must not be blank."""
    if column not in row:
        raise ValueError(f"{where}: has no {column!r}. {suggest(column, row)}")
    return _filled(where, column, row[column])


def texts_of(where: str, row: Mapping[str, Any], column: str) -> list[str]:
    """The texts of a list in a column of a row, none of them blank; none where it is not there."""
    values = row.get(column)
    if values is None:
        return []
    if not isinstance(values, list | tuple):
        raise ValueError(f"{where}: {column} must be a list of texts, got {values!r}")
    return [_filled(where, column, value) for value in values]


def _maybe(where: str, row: Mapping[str, Any], column: str) -> list[str]:
    value = row.get(column)
    blank = value is None or (isinstance(value, str) and not value.strip())
    return [] if blank or value != value else [_filled(where, column, value)]


def _triplets(rows: Rows, records: Iterable[Record], options: Options) -> None:
    for where, row in records:
        named = [c for c in row if c == "negative" or re.fullmatch(r"negative_\d+", c)]
        named.sort(key=lambda c: int(c.partition("_")[2] or 0))
        negatives = chain.from_iterable(
            texts_of(where, row, c) if isinstance(row[c], list) else _maybe(where, row, c)
            for c in named
        )
        rows.add(text_of(where, row, "anchor"), text_of(where, row, "positive"), negatives)


def _simcse(rows: Rows, records: Iterable[Record], options: Options) -> None:
    for where, row in records:
        negative = _maybe(where, row, "hard_neg")
        rows.add(text_of(where, row, "sent0"), text_of(where, row, "sent1"), negative)


def _flag_embedding(rows: Rows, records: Iterable[Record], options: Options) -> None:
    for where, row in records:
        query, negatives = text_of(where, row, "query"), texts_of(where, row, "neg")
        for positive in texts_of(where, row, "pos"):
            rows.add(query, positive, negatives)


def _tevatron(rows: Rows, records: Iterable[Record], options: Options) -> None:
    for where, row in records:
        query = text_of(where, row, "query")
        negatives = _passages(where, row, "negative_passages")
        for positive in _passages(where, row, "positive_passages"):
            rows.add(query, positive, negatives)


def _passages(where: str, row: Mapping[str, Any], column: str) -> list[str]:
    values = row.get(column) or []
    if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
        raise ValueError(f"{where}: {column} must be a list of objects with a text")
    return [titled(where, value) for value in values]


def titled(where: str, row: Mapping[str, Any], column: str = "text") -> str:
    """A document as one text: its title, if it has one, before its text."""
    title = _maybe(where, row, "title")
    body = _maybe(where, row, column) if title else [text_of(where, row, column)]
    return " ".join(title + body)


def _tevatron_ids(rows: Rows, records: Iterable[Record], options: Options) -> None:
    known = options.passages
    for where, row in records:
        if known is None:
            raise ValueError(
                f"{where}: names its documents by id; set corpus to the file with their texts "
                "(docid, document_text)"
            )
        query = text_of(where, row, "query_text")
        negatives = _documents(where, row, "negative_document_ids", known)
        for positive in _documents(where, row, "positive_document_ids", known):
            rows.add(query, positive, negatives)


def _documents(
    where: str, row: Mapping[str, Any], column: str, known: Mapping[str, str]
) -> list[str]:
    ids = row.get(column) or []
    if not isinstance(ids, list):
        raise ValueError(f"{where}: {column} must be a list of document ids, got {ids!r}")
    missing = [i for i in ids if str(i) not in known]
    if missing:
        raise ValueError(f"{where}: {column} has {missing[0]!r}, which the corpus does not hold")
    return [known[str(i)] for i in ids]


def _nli(rows: Rows, records: Iterable[Record], options: Options) -> None:
    of_premise: dict[str, tuple[list[str], list[str]]] = {}
    for where, row in records:
        label = _nli_label(where, row.get("label"), options.nli_labels)
        if label is None:
            continue
        premise, hypothesis = text_of(where, row, "premise"), text_of(where, row, "hypothesis")
        if options.nli == "pairs":
            rows.add(premise, hypothesis)
            rows.nli.append(NLI[label])
        elif label != "neutral":
            both = of_premise.setdefault(premise, ([], []))
            both[label == "contradiction"].append(hypothesis)
    for premise, (entailed, contradicted) in of_premise.items():
        for hypothesis in entailed:
            rows.add(premise, hypothesis, contradicted)


def _nli_label(where: str, value: object, names: Sequence[str]) -> str | None:
    text = "" if value is None else str(value).strip().casefold()
    if text in NO_CLASS:
        return None
    if text in NLI:
        return text
    if not text.isdigit():
        raise ValueError(f"{where}: label is {value!r}. {suggest(text, NLI)}")
    if int(text) >= len(names):
        raise ValueError(
            f"{where}: label is the number {text}; say what numbers mean with "
            'nli_labels = ["entailment", "neutral", "contradiction"], in the order of the numbers'
        )
    return names[int(text)]


def _sentences(rows: Rows, records: Iterable[Record], options: Options) -> None:
    for where, row in records:
        one, two = text_of(where, row, "sentence1"), text_of(where, row, "sentence2")
        column = "score" if "score" in row else "label"
        if column not in row:
            rows.add(one, two)
        elif options.min_score is None:
            rows.add(one, one)
            rows.add(two, two)
        elif number_of(where, column, row[column]) >= options.min_score:
            rows.add(one, two)


def number_of(where: str, column: str, value: object) -> float:
    """The number that a cell of a table holds."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"{where}: {column} must be a number, got {value!r}")
    return number


def _plain(rows: Rows, records: Iterable[Record], options: Options) -> None:
    for where, row in records:
        text, label = text_of(where, row, "text"), row.get("label")
        if isinstance(label, list | dict):
            raise ValueError(f"{where}: label must be one value, got {label!r}")
        rows.add(text, text)
        rows.labels.append(None if label in (None, "") else label)


LAYOUTS = (
    Layout(("anchor", "positive"), "negative, negative_1, ...", _triplets),
    Layout(("sent0", "sent1"), "hard_neg", _simcse),
    Layout(("query", "pos"), "neg", _flag_embedding),
    Layout(("query", "positive_passages"), "negative_passages", _tevatron),
    Layout(("query_text", "positive_document_ids"), "negative_document_ids", _tevatron_ids),
    Layout(("premise", "hypothesis", "label"), "", _nli),
    Layout(("sentence1", "sentence2"), "score or label", _sentences),
    Layout(("text",), "label", _plain),
)
COLUMNS = ("negative", "neg", "hard_neg", "negative_passages", "negative_document_ids", "score")
ROLES = (*dict.fromkeys([*chain.from_iterable(x.required for x in LAYOUTS), *COLUMNS]),)


def check_columns(owner: str, columns: Mapping[str, str]) -> None:
    """Raise ``ValueError`` for a key of ``columns`` that no layout has."""
    for ours, theirs in columns.items():
        if not re.fullmatch(r"negative_\d+", ours):
            one_of(owner, "a key of columns", ours, ROLES)
        if not isinstance(theirs, str):
            raise ValueError(f"{owner}: columns.{ours} must be a column's name, got {theirs!r}")


def limited(data: TrainingData, limit: int, seed: int, *, keep_texts: bool = False) -> TrainingData:
    """The first ``limit`` rows of a seeded shuffle; 0 keeps all rows.

    Texts that no row uses any more go, unless ``keep_texts``.
    """
    if not limit or limit >= data.rows:
        return data
    return chosen(data, np.random.default_rng(seed).permutation(data.rows)[:limit], keep_texts)


def chosen(data: TrainingData, rows: Ints, keep_texts: bool = False) -> TrainingData:
    """Some rows, in the order given, without the texts that none of them uses."""
    columns = np.column_stack([data.anchor, data.positive, data.negatives])[rows]
    used = np.arange(len(data.texts)) if keep_texts else np.unique(columns[columns >= 0])
    columns = np.where(columns < 0, -1, np.searchsorted(used, columns))
    return replace(
        data,
        texts=tuple(data.texts[i] for i in used),
        anchor=columns[:, 0],
        positive=columns[:, 1],
        negatives=columns[:, 2:],
        meaning=None if data.meaning is None else data.meaning[used],
        nli=None if data.nli is None else data.nli[rows],
    )


def unpaired(data: TrainingData) -> TrainingData:
    """Make every anchor and every positive a separate row, its own positive, in the old order."""
    if (data.anchor == data.positive).all():
        alone = data.anchor
    else:
        alone = np.column_stack([data.anchor, data.positive]).reshape(-1)  # (2R,)
    none = np.zeros((len(alone), 0), dtype=np.int64)
    return replace(data, anchor=alone, positive=alone, negatives=none, nli=None)
