"""The parts of data as BEIR folders: train, dev and the locked test, without a common text.

Where texts have classes, pairs have grades, or anchors have texts that are known to be wrong, the
locked test also holds a file for a further task, see `CLASSES`, `PAIRS` and `GRADES`.

The documents of a test are those of the test's rows, and documents without a row that were drawn
for it. Where texts have classes and no positives, the texts of a class are each other's positives;
in a test one half of them asks and the other half is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.audit.groups import PARTS, SHARES, Split
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import json_lines
from nsbench.benchmarks.seeds import seed_for

Ints = NDArray[np.int64]
MOST_MATES = 200_000
"""Pairs of texts of one class that are written for training."""

MOST_QUERIES = {"train": 20_000, "dev": 500, "test": 1500}
"""Queries of each part; further ones are drawn out, and counted."""
CLASSES, PAIRS, GRADES = "classes", "pairs", "grades"
"""Further tasks of a locked test: ``classes.jsonl`` (``text, label``), next to one of the training
part to fit on; ``pairs.jsonl`` (``sentence1, sentence2, label``, 1 for a positive, 0 for a text
that is known to be wrong, or of the lower of two grades); ``grades.jsonl`` (``sentence1, sentence2,
score``), where there are more than two grades."""
LEAST_WRONG = 20
"""Pairs of both kinds that a test of `PAIRS` needs, and pairs of a test of `GRADES`."""
MOST_GRADED = 5000
"""Graded pairs of a locked test; further ones are drawn out."""
MOST_FREE = 50_000
"""Documents without a row that are written, over all parts."""


@dataclass(frozen=True)
class Written:
    """A part as it was written.

    Attributes:
        queries: Number of queries.
        documents: Number of documents.
        pairs: Number of relevant pairs.
        left_out: Queries that were left out, because their text is a document of this test too.
        beyond: Queries that were left out, because the part has `MOST_QUERIES` already.
        further: Names of its further tasks.
    """

    queries: int
    documents: int
    pairs: int
    left_out: int = 0
    beyond: int = 0
    further: tuple[str, ...] = ()


def has_classes(data: TrainingData) -> bool:
    """True if rows have one text each, and some of two rows one class."""
    if data.meaning is None or (data.anchor != data.positive).any():
        return False
    return bool((np.bincount(data.meaning[data.meaning >= 0], minlength=1) > 1).any())


def paired_by_class(data: TrainingData, seed: int = 0) -> TrainingData:
    """Make pairs of two texts of one class, each text in one pair at most."""
    assert data.meaning is not None
    rng = np.random.default_rng(seed_for(seed, "class mates"))
    texts = rng.permutation(np.unique(data.anchor))
    texts = texts[data.meaning[texts] >= 0]
    texts = texts[np.argsort(data.meaning[texts], kind="stable")]
    label = data.meaning[texts]
    place = np.arange(len(texts)) - np.searchsorted(label, label, side="left")
    first = np.flatnonzero((place[:-1] % 2 == 0) & (label[:-1] == label[1:]))
    none = np.full((len(first), 0), -1, np.int64)
    return replace(data, anchor=texts[first], positive=texts[first + 1], negatives=none)


def write_parts(
    data: TrainingData,
    split: Split,
    out: Path,
    *,
    classes: bool,
    seed: int = 0,
    graded: TrainingData | None = None,
) -> dict[str, Written]:
    """Write every part into a folder of its name.

    Args:
        data: The rows.
        split: Their parts.
        out: Where the folders go.
        classes: Texts of one class are each other's positives.
        seed: Of what is drawn.
        graded: All pairs with their grades, of which the rows are the ones above a grade.
    """
    extra = _extra_documents(data, split, seed)
    written = {}
    for part in PARTS:
        rows = split.rows(part)
        if classes:
            pairs, documents = _class_pairs(data, rows, training=part == "train", seed=seed)
        else:
            group, known = data.group, data.known
            here = np.isin(known[:, 0], data.anchor[rows])
            pairs = known[here & (group[known[:, 0]] != group[known[:, 1]])]
            documents = pairs[:, 1]
        left = 0
        pairs, beyond = _drawn(pairs, MOST_QUERIES[part], seed)
        if not classes:
            documents = np.unique(pairs[:, 1])
        if part != "train":
            both = np.isin(data.group[pairs[:, 0]], data.group[documents])
            left = len(np.unique(pairs[both, 0]))
            pairs = pairs[~both]
        documents = np.union1d(documents, extra[part])
        known = _wrong(data, rows)
        wrong = known if part == "train" else known[:0]
        documents = np.union1d(documents, wrong[:, 1])
        _write(data, out / part, part, pairs=pairs, wrong=wrong, documents=documents)
        further = _further(data, rows, part, out / part, classes=classes, wrong=known)
        if graded is not None and part == "test":
            further += _graded(data, split, graded, out / part, seed)
        queries = len(np.unique(pairs[:, 0]))
        written[part] = Written(queries, len(documents), len(pairs), left, beyond, further)
    return written


def _further(
    data: TrainingData, rows: Ints, part: str, folder: Path, *, classes: bool, wrong: Ints
) -> tuple[str, ...]:
    """Write the files of further tasks, and return the names of those of a locked test."""
    out = []
    if classes and part != "dev":
        assert data.meaning is not None
        texts = np.unique(data.anchor[rows])
        labelled = ((data.texts[i], str(data.meaning[i])) for i in texts if data.meaning[i] >= 0)
        lines = json_lines({"text": text, "label": label} for text, label in labelled)
        write_atomically(folder / f"{CLASSES}.jsonl", lines)
        out.append(CLASSES)
    right = np.column_stack([data.anchor[rows], data.positive[rows]])
    if part == "test" and min(len(wrong), len(right)) >= LEAST_WRONG:
        told = {(int(a), int(b)): 0 for a, b in wrong} | {(int(a), int(b)): 1 for a, b in right}
        pairs = [(data.texts[a], data.texts[b], label) for (a, b), label in sorted(told.items())]
        out.append(_two_texts(folder, PAIRS, "label", pairs))
    return tuple(out) if part == "test" else ()


def _two_texts(folder: Path, name: str, column: str, rows: Sequence[tuple[str, str, float]]) -> str:
    """Write pairs of texts with a value each, and return the name."""
    lines = json_lines({"sentence1": a, "sentence2": b, column: value} for a, b, value in rows)
    write_atomically(folder / f"{name}.jsonl", lines)
    return name


def _graded(
    data: TrainingData, split: Split, graded: TrainingData, folder: Path, seed: int
) -> tuple[str, ...]:
    """Write the graded pairs of a locked test: those without a text of another part."""
    assert graded.grade is not None
    rows = np.concatenate([split.rows(part) for part in PARTS if part != "test"])
    other = {data.texts[i] for i in _texts_of(data, rows).tolist()}
    pairs = zip(graded.anchor, graded.positive, graded.grade, strict=True)
    told = [(graded.texts[a], graded.texts[b], float(grade)) for a, b, grade in pairs]
    free = [row for row in told if not {*row[:2]} & other]
    order = np.random.default_rng(seed_for(seed, "graded")).permutation(len(free))
    kept = [free[i] for i in sorted(order[:MOST_GRADED])]
    grades = np.array([grade for _, _, grade in kept])
    if len({*grades.tolist()}) > 2 and len(kept) >= LEAST_WRONG:
        return (_two_texts(folder, GRADES, "score", kept),)
    best = grades == grades.max(initial=0.0)
    if min(best.sum(), (~best).sum()) < LEAST_WRONG:
        return ()
    labelled = [(a, b, int(label)) for (a, b, _), label in zip(kept, best, strict=True)]
    return (_two_texts(folder, PAIRS, "label", labelled),)


def _texts_of(data: TrainingData, rows: Ints) -> Ints:
    """Texts of some rows, given negatives among them."""
    negatives = data.negatives[rows]
    return np.unique(
        np.concatenate([data.anchor[rows], data.positive[rows], negatives[negatives >= 0]])
    )


def _drawn(pairs: Ints, most: int, seed: int) -> tuple[Ints, int]:
    """Keep the pairs of ``most`` queries at most; return the number of the others too."""
    queries = np.unique(pairs[:, 0])
    if len(queries) <= most:
        return pairs, 0
    kept = np.random.default_rng(seed_for(seed, "queries")).permutation(queries)[:most]
    return pairs[np.isin(pairs[:, 0], kept)], len(queries) - most


def _extra_documents(data: TrainingData, split: Split, seed: int) -> Mapping[str, Ints]:
    """Texts without a row, by the part that they are drawn for."""
    used = np.concatenate([data.known.ravel(), data.negatives[data.negatives >= 0]])
    free = np.flatnonzero(~np.isin(data.group, data.group[used]))
    rng = np.random.default_rng(seed_for(seed, "documents"))
    free = rng.permutation(free)[:MOST_FREE]
    ends = np.cumsum(SHARES) * len(free)
    lots = np.split(free, ends[:-1].astype(np.int64))
    return {part: np.sort(lot) for part, lot in zip(PARTS, lots, strict=True)}


def _wrong(data: TrainingData, rows: Ints) -> Ints:
    """``(n, 2)`` anchors and their given negatives."""
    given = data.negatives[rows]
    anchors = np.repeat(data.anchor[rows], given.shape[1])
    pairs = np.column_stack([anchors, given.ravel()])
    return np.unique(pairs[pairs[:, 1] >= 0], axis=0)


def _class_pairs(data: TrainingData, rows: Ints, *, training: bool, seed: int) -> tuple[Ints, Ints]:
    """Pairs of texts of one class, and the texts that can be found."""
    assert data.meaning is not None
    rng = np.random.default_rng(seed_for(seed, "classes"))
    texts = rng.permutation(np.unique(data.anchor[rows]))
    label = data.meaning[texts]
    if training:
        rising = np.cumsum(np.bincount(label)[label])  # about the pairs, were all texts kept
        share = min(1.0, (MOST_MATES / max(1, rising[-1])) ** 0.5)
        asking = finding = texts[: max(2, int(share * len(texts)))]
    else:
        asking, finding = texts[: len(texts) // 2], texts[len(texts) // 2 :]
    same = data.meaning[asking][:, None] == data.meaning[finding][None, :]
    same &= asking[:, None] != finding[None, :]
    left, right = np.nonzero(same)
    return np.column_stack([asking[left], finding[right]]), np.sort(finding)


def _write(
    data: TrainingData, folder: Path, part: str, *, pairs: Ints, wrong: Ints, documents: Ints
) -> None:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    queries = np.unique(pairs[:, 0])
    for name, texts, letter in (("queries", queries, "q"), ("corpus", documents, "d")):
        lines = json_lines({"_id": f"{letter}{i}", "text": data.texts[i]} for i in texts)
        write_atomically(folder / f"{name}.jsonl", lines)
    told = {(int(a), int(b)): 1 for a, b in pairs}
    kept = set(queries.tolist())
    told |= {(int(a), int(b)): 0 for a, b in wrong if (a, b) not in told and int(a) in kept}
    judged = [f"q{a}\td{b}\t{grade}\n" for (a, b), grade in sorted(told.items())]
    table = "query-id\tcorpus-id\tscore\n" + "".join(judged)
    write_atomically(folder / "qrels" / f"{part}.tsv", table)
