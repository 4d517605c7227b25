"""Training rows as they are read from records, before they become arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.data._reading import FIRST, Report, RowError
from nsbench.benchmarks.data._types import Ints, TrainingData
from nsbench.benchmarks.data._values import Keyed, Said, shown

MOST_NEGATIVES = 1 << 30
"""Rows times the most negatives that a row may have: 8 GiB."""
Two = tuple[list[str], list[str]]


@dataclass
class Rows:
    """Rows as they are read; equal texts are held once.

    Attributes:
        report: What was read and left out.
        texts: Number of every text.
        anchor: Text of each row's anchor.
        positive: Text of its positive.
        negatives: Texts of its given negatives.
        nli: Its entailment class, where there are such.
        grade: Its score, where pairs are read with theirs.
        query_ids: Ids of queries by their text; the first where several have one text.
        document_ids: Ids of documents by their text.
        premises: Hypotheses of each premise, entailed ones and contradicted ones.
        rejected: Of each anchor, the texts that a label says are no positives.
    """

    report: Report = field(default_factory=Report)
    texts: dict[str, int] = field(default_factory=dict)
    anchor: list[int] = field(default_factory=list)
    positive: list[int] = field(default_factory=list)
    negatives: list[list[int]] = field(default_factory=list)
    nli: list[int] = field(default_factory=list)
    grade: list[float] = field(default_factory=list)
    query_ids: dict[str, str] = field(default_factory=dict)
    document_ids: dict[str, str] = field(default_factory=dict)
    premises: dict[str, Two] = field(default_factory=dict)
    rejected: dict[str, dict[str, str]] = field(default_factory=dict)
    _told_by: str | None = None
    _labels: Said = field(default_factory=lambda: Said("the text has two labels"))
    _classes: Keyed | None = None

    def text(self, text: str) -> int:
        """The number of a text."""
        return self.texts.setdefault(text, len(self.texts))

    def add(self, anchor: str, positive: str, negatives: Iterable[str] = ()) -> None:
        """Add a row."""
        self.anchor.append(self.text(anchor))
        self.positive.append(self.text(positive))
        self.negatives.append([self.text(n) for n in negatives])

    def told_by(self, where: str, row: Mapping[str, Any], columns: Sequence[str]) -> str:
        """Name the column that says whether a pair is a positive; the empty text for none.

        Raises:
            RowError: If it is another than in the rows before.
        """
        column = next((c for c in columns if c in row), "")
        if self._told_by is None:
            self._told_by = column
        if column != self._told_by:
            here, before = (f"a {c}" if c else "none" for c in (column, self._told_by))
            what = (
                f"has {here} to say whether the pair belongs together; earlier rows have {before}"
            )
            raise RowError(where, what)
        return column

    def add_labelled(self, where: str, text: str, label: str | None) -> None:
        """Add a text as its own positive, with what it means.

        Raises:
            RowError: If the text has another label already.
        """
        if label is not None:
            self._labels.note(where, {text: label})
        self.add(text, text)

    def judge(self, where: str, anchor: str, text: str, label: int) -> bool:
        """Note whether a text is a positive of an anchor.

        Returns:
            True if the row is to be used as a positive pair.

        Raises:
            RowError: If the pair was called the opposite before.
        """
        if self._classes is None:
            self._classes = Keyed("pair of texts", self.report)
        key = anchor, text
        before = self._classes.get(key)
        if before != label:
            self._classes.put(where, key, label, f"{shown(anchor)} with {shown(text)}")
        if before is None and label == 0:
            self.rejected.setdefault(anchor, {})[text] = where
        return label == 1 and before in (None, 1)

    def finish(self) -> None:
        """Turn what could not be used before the last row was read into rows and negatives."""
        for premise, (entailed, contradicted) in self.premises.items():
            for hypothesis in entailed:
                self.add(premise, hypothesis, contradicted)
        if not self.rejected:
            return
        anchors, numbers = set(self.anchor), {}
        for anchor, texts in self.rejected.items():
            if (number := self.texts.get(anchor, -1)) in anchors:
                numbers[number] = [self.text(text) for text in texts]
                continue
            for where in texts.values():
                self.report.leave_out(where, "label 0, and the anchor has no positive")
        for row, number in enumerate(self.anchor):
            given = [*self.negatives[row], *numbers.get(number, [])]
            self.negatives[row] = list(dict.fromkeys(given))

    def data(self, name: str, revision: str) -> TrainingData:
        """The rows as arrays, lists of negatives filled up with -1."""
        k = max((len(n) for n in self.negatives), default=0)
        if len(self.anchor) * k > MOST_NEGATIVES:
            raise ValueError(
                f"{name}: {len(self.anchor):,} rows with up to {k:,} given negatives each are too "
                f"many: rows times negatives may be {MOST_NEGATIVES:,}; give each query fewer"
            )
        negatives = np.full((len(self.anchor), k), -1, dtype=np.int64)
        for row, given in enumerate(self.negatives):
            negatives[row, : len(given)] = given
        meaning = None
        if self._labels.earlier:
            ids: dict[str, int] = {}
            meaning = np.full(len(self.texts), -1, dtype=np.int64)
            for text, (label, _) in self._labels.earlier.items():
                meaning[self.texts[text]] = ids.setdefault(label, len(ids))
        return TrainingData(
            name=name,
            texts=tuple(self.texts),
            anchor=np.array(self.anchor, dtype=np.int64),
            positive=np.array(self.positive, dtype=np.int64),
            negatives=negatives,
            meaning=meaning,
            nli=np.array(self.nli, dtype=np.int64) if self.nli else None,
            revision=revision,
            grade=np.array(self.grade, dtype=np.float64) if self.grade else None,
            query_ids=self.query_ids,
            document_ids=self.document_ids,
            report=self.report.plain(),
        )


def limited(data: TrainingData, limit: int, seed: int, *, keep_texts: bool = False) -> TrainingData:
    """The first ``limit`` rows of a seeded shuffle; 0 keeps all rows.

    Texts that no row uses any more go, unless ``keep_texts``.
    """
    if not limit or limit >= data.rows:
        return data
    return chosen(data, np.random.default_rng(seed).permutation(data.rows)[:limit], keep_texts)


def chosen(
    data: TrainingData, rows: Ints, keep_texts: bool = False, *, also: Ints | None = None
) -> TrainingData:
    """Some rows, in the order given, without texts that neither they use nor ``also`` names."""
    given = data.negatives.shape[1]
    parts = [data.anchor, data.positive, data.negatives]
    columns = np.column_stack([*parts, *([] if data.others is None else [data.others])])[rows]
    named = columns[columns >= 0] if also is None else np.append(columns[columns >= 0], also)
    used = np.arange(len(data.texts)) if keep_texts else np.unique(named)
    columns = np.where(columns < 0, -1, np.searchsorted(used, columns))
    hidden = data.hidden
    if hidden is not None:
        hidden = hidden[np.isin(hidden, used).all(axis=1)]
        hidden = np.searchsorted(used, hidden)
    return replace(
        data,
        texts=tuple(data.texts[i] for i in used),
        anchor=columns[:, 0],
        positive=columns[:, 1],
        negatives=columns[:, 2 : 2 + given],
        meaning=None if data.meaning is None else data.meaning[used],
        nli=None if data.nli is None else data.nli[rows],
        grade=None if data.grade is None else data.grade[rows],
        others=None if data.others is None else columns[:, 2 + given :],
        hidden=hidden,
        source=None if data.source is None else data.source[rows],
    )


def unpaired(data: TrainingData) -> TrainingData:
    """Make every anchor and every positive a separate row, its own positive, in the old order."""
    source = data.source
    if (data.anchor == data.positive).all():
        alone = data.anchor
    else:
        source = None if source is None else np.repeat(source, 2)
        alone = np.column_stack([data.anchor, data.positive]).reshape(-1)  # (2R,)
    none = np.zeros((len(alone), 0), dtype=np.int64)
    data = replace(data, nli=None, grade=None, others=None, source=source)
    return replace(data, anchor=alone, positive=alone, negatives=none)


def viewed(data: TrainingData, views: str, seed: int) -> TrainingData:
    """The rows by ``views`` of `File`; pairs and graded ones are rows as they are."""
    if views == "text":
        return unpaired(data)
    return paired_by_label(data, seed) if views == "label" else data


def paired_by_label(data: TrainingData, seed: int) -> TrainingData:
    """Give every text another text of its label as its positive.

    The texts of a label follow each other in a drawn order, and the last is followed by the first:
    each is the positive of one other. Texts that are equal after `normalise` count as one. The
    report counts the rows without a label and those whose label has no other text.

    Raises:
        ValueError: If no label has two texts.
    """
    meaning = np.full(len(data.texts), -1, np.int64) if data.meaning is None else data.meaning
    kinds, first, which = np.unique(
        np.column_stack([meaning, data.group]), axis=0, return_index=True, return_inverse=True
    )
    order = np.lexsort((np.random.default_rng(seed).permutation(len(kinds)), kinds[:, 0]))
    labels, start, count = np.unique(kinds[order, 0], return_index=True, return_counts=True)
    following = np.arange(1, len(order) + 1)
    following[start + count - 1] = start
    after = np.empty_like(order)
    after[order] = order[following]
    positive = first[after[which.reshape(-1)]]  # (T,)
    several = (count > 1)[np.searchsorted(labels, meaning)]  # (T,)
    left_out = {
        "no label": meaning[data.anchor] < 0,
        "the only text of its label": (meaning[data.anchor] >= 0) & ~several[data.anchor],
    }
    report = leaving_out(data, left_out)
    kept = np.flatnonzero(~np.logical_or(*left_out.values()))
    if not len(kept):
        raise ValueError(f"{data.name}: views is 'label', but no label has two different texts")
    return chosen(replace(data, positive=positive[data.anchor], report=report), kept)


def leaving_out(data: TrainingData, left_out: Mapping[str, NDArray[np.bool_]]) -> dict[str, Any]:
    """The report of the data with ``(R,)`` rows left out for each reason, where there are any."""
    report = dict(data.report or Report().plain())
    items = [
        {"why": why, "count": len(rows), "first": [f"row {row + 1}" for row in rows[:FIRST]]}
        for why, rows in ((why, np.flatnonzero(out).tolist()) for why, out in left_out.items())
        if rows
    ]
    return {**report, "left_out": [*report["left_out"], *items]}


def without_repeats(data: TrainingData) -> TrainingData:
    """Every pair of an anchor and a positive once, with all negatives that were given for it.

    Pairs are equal if their texts are, letter by letter. Texts stay as they are; the report counts
    the rows that are left out.
    """
    first: dict[str, int] = {}
    number = np.array([first.setdefault(t, i) for i, t in enumerate(data.texts)], dtype=np.int64)
    pairs = number[data.anchor] * len(data.texts) + number[data.positive]
    _, kept, which = np.unique(pairs, return_index=True, return_inverse=True)
    if len(kept) == data.rows:
        return data
    given: dict[int, dict[int, None]] = {row: {} for row in np.sort(kept).tolist()}
    for row, pair in enumerate(which.reshape(-1).tolist()):
        of_row = data.negatives[row]
        given[int(kept[pair])].update(dict.fromkeys(of_row[of_row >= 0].tolist()))
    negatives = np.full((data.rows, max(map(len, given.values()))), -1, dtype=np.int64)
    for row, numbers in given.items():
        negatives[row, : len(numbers)] = list(numbers)
    repeated = ~np.isin(np.arange(data.rows), kept)
    report = leaving_out(data, {"repeats an earlier pair": repeated})
    whole = replace(data, negatives=negatives, report=report)
    return chosen(whole, np.sort(kept), keep_texts=True)
