"""Data sets in memory: texts, rows that point at them, and knowledge of both."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def normalise(text: str) -> str:
    """The form in which two texts count as equal: NFKC, case-folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_groups(texts: Sequence[str]) -> Ints:
    """``(T,)`` group id of every text; texts that are equal after `normalise` share one."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(normalise(t), len(seen)) for t in texts], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """R training rows over T texts.

    Attributes:
        name: Name of the data set in records.
        texts: T texts.
        anchor: ``(R,)`` index of each row's anchor text.
        positive: ``(R,)`` index of its positive text; equal to ``anchor`` where the positive is
            another view of the same text (unsupervised).
        negatives: ``(R, K)`` indices of given hard negatives, -1 for none; K may be 0.
        meaning: ``(T,)`` id of what a text means (planted meaning, class label), -1 where
            unknown; ``None`` where nothing is known of any text. Two texts with one id that are
            not a known pair are false negatives of each other.
        nli: Optional ``(R,)`` entailment label of the pair (0 contradiction, 1 entailment,
            2 neutral), for supervised regimes.
        revision: Revision that was read: of the hub, or ``sha256:...`` of the content.
        query_ids: Ids of queries by their text, where the data have any; training sees none.
        document_ids: Ids of documents by their text.
        report: What was read and what was left out, as plain data; ``None`` where nothing was
            read.
        grade: Optional ``(R,)`` float64 score of each pair; a row's texts need not mean the same
            then, and only objectives that read grades can train on it.
        others: Optional ``(R, P)`` further known positives of each row's anchor, -1 for none. Each
            time the row is used, one of them or ``positive`` is drawn.
        hidden: Optional ``(H, 2)`` anchor and text of pairs that judges call relevant and training
            must not know: chosen as negatives, they are false ones.
        source: Optional ``(R,)`` number of the data set that each row is of; a batch then holds
            rows of one.
        sources: Names of those data sets.
        shares: How often a batch is of each, by weight.
    """

    name: str
    texts: tuple[str, ...]
    anchor: Ints
    positive: Ints
    negatives: Ints
    meaning: Ints | None = None
    nli: Ints | None = None
    revision: str = ""
    query_ids: Mapping[str, str] = field(default_factory=dict)
    document_ids: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Any] | None = None
    grade: NDArray[np.float64] | None = None
    others: Ints | None = None
    hidden: Ints | None = None
    source: Ints | None = None
    sources: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def knows_truth(self) -> bool:
        """True if something tells false negatives: meanings, or judgements kept from training."""
        return self.meaning is not None or self.hidden is not None

    @cached_property
    def known(self) -> Ints:
        """``(n, 2)`` anchor and text of every positive pair that training knows."""
        pairs = np.column_stack([self.anchor, self.positive])
        if self.others is None:
            return pairs
        more = np.column_stack(
            [np.repeat(self.anchor, self.others.shape[1]), self.others.reshape(-1)]
        )
        return np.concatenate([pairs, more[more[:, 1] >= 0]])

    @property
    def rows(self) -> int:
        """R."""
        return len(self.anchor)

    @cached_property
    def group(self) -> Ints:
        """``(T,)`` text group ids, see `text_groups`."""
        return text_groups(self.texts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that training can see."""
        h = hashlib.sha256()
        for text in self.texts:
            h.update(text.encode("utf-8", "surrogatepass") + b"\0")
        for array in (self.anchor, self.positive, self.negatives, self.meaning, self.nli):
            h.update(b"-" if array is None else np.ascontiguousarray(array, np.int64).tobytes())
        if self.grade is not None:  # younger: other data keep their digests
            h.update(b"grade" + np.ascontiguousarray(self.grade, np.float64).tobytes())
        for name in ("others", "hidden", "source"):  # younger: other data keep their digests
            if (array := getattr(self, name)) is not None:
                h.update(name.encode() + np.ascontiguousarray(array, np.int64).tobytes())
        if self.source is not None:
            h.update(np.array(self.shares, np.float64).tobytes())
        return h.hexdigest()


@dataclass(frozen=True)
class Pairs:
    """A graded similarity test: two texts and a score a row."""

    name: str
    sentence1: tuple[str, ...]
    sentence2: tuple[str, ...]
    score: tuple[float, ...]


@dataclass(frozen=True)
class LabelledTexts:
    """A classification test: fit on train, score on test."""

    name: str
    train_texts: tuple[str, ...]
    train_labels: tuple[int, ...]
    test_texts: tuple[str, ...]
    test_labels: tuple[int, ...]
    label_names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranking:
    """A retrieval test: queries, the documents they search, and judgements.

    Attributes:
        name: Name of the test.
        queries: Text of each query, by id.
        documents: Text of each document, by id.
        relevant: Of each query, its judged documents with their grades; above 0 is relevant.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


OwnTest = Pairs | LabelledTexts | Ranking
"""A test that a data set provides."""


def false_negative_rate(data: TrainingData) -> float:
    """Share of false negatives among all in-batch candidates that uniform batches can offer.

    Over all ordered pairs of different rows r, s where s's positive is neither of r's texts (after
    `normalise`): how often do r's anchor and s's positive have one known meaning? The value that a
    uniform sampler's measured rate estimates; ``nan`` where no meaning or no such pair is known.
    """
    if data.meaning is None:
        return float("nan")
    anchor, positive = data.group[data.anchor], data.group[data.positive]  # (R,)
    mine, other = data.meaning[data.anchor], data.meaning[data.positive]  # (R,)
    texts = np.bincount(positive, minlength=len(data.texts))
    meanings = np.bincount(other + 1)
    masked = texts[positive] + np.where(anchor == positive, 0, texts[anchor])  # (R,)
    alike = np.where(
        (mine >= 0) & (mine + 1 < len(meanings)), np.take(meanings, mine + 1, mode="clip"), 0
    )
    pairs = int((data.rows - masked).sum())
    return float(np.maximum(alike - masked, 0).sum() / pairs) if pairs else float("nan")


class DataSet(Protocol):
    """A source of training rows; a frozen dataclass that reads nothing until it is called.

    Subclass it to inherit the defaults: no evaluation sets, no development set, and no test whose
    texts it reads on purpose.

    Attributes:
        transductive: Names of the tasks whose test texts are among the rows on purpose, without
            their scores or labels; scores on them are marked.
    """

    transductive: ClassVar[tuple[str, ...]] = ()

    def check(self) -> None:
        """Raise before anything trains if the call could not succeed, without reading it all.

        Raises:
            FileNotFoundError: If a file, or a cached copy of a hub data set, is missing; the
                message names it and says what to do.
            ValueError: If what is there cannot be what the parameters describe.
        """

    def __call__(self) -> TrainingData:
        """Read or make the rows; the same parameters give the same rows."""
        ...

    def tests(self) -> Sequence[OwnTest]:
        """Evaluation sets that belong to this data set and share no text with its rows.

        Of a retrieval test this holds for the queries; documents are there to be trained on.
        """
        return []

    def dev(self) -> Pairs | Ranking | None:
        """A graded similarity set, or a retrieval one, for choosing checkpoints, or ``None``."""
        return None
