"""A mined set as files that others read: sentence-transformers, FlagEmbedding, Tevatron, BEIR.

Source: the columns of ``sentence_transformers.util.mine_hard_negatives``; FlagEmbedding's
``{"query", "pos", "neg"}``; Tevatron's ``positive_passages``; Thakur et al. 2021, BEIR.
https://arxiv.org/abs/2104.08663
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import json_lines
from nsbench.benchmarks.mining.dataset.mined_set import MinedSet
from nsbench.benchmarks.mining.settings import MinedFiles

Rows = Iterator[dict[str, Any]]

BEIR_FILES = ("qrels/train.tsv", "corpus.jsonl", "queries.jsonl")


def names_of(form: str, file_type: str) -> tuple[str, ...]:
    """Names of the files with the rows, in the order of `write_set`."""
    return BEIR_FILES if form == "beir" else (f"train.{file_type}",)


def written(mined: MinedSet, form: str) -> MinedSet:
    """Keep the rows that a form can hold, and count only these.

    An n-tuple has all of its negatives, which a corpus that is used up does not give even under
    ``pad_random``; a triplet or labelled list has at least one.
    """
    there = mined.negatives >= 0
    fits = np.ones(len(there), np.bool_)
    if form == "n-tuple":
        fits = np.asarray(there.all(axis=1))
    elif form in ("triplet", "labeled-list"):
        fits = np.asarray(there.any(axis=1))
    return mined.only(fits)


def negatives_in(mined: MinedSet, form: str) -> int:
    """Negatives in the files: forms that have one entry per anchor hold each text once."""
    if form in ("triplet", "n-tuple", "labeled-list"):
        return int((mined.negatives[mined.kept] >= 0).sum())
    return sum(len(group.negatives) for group in _grouped(mined).values())


def write_set(mined: MinedSet, folder: Path, wanted: MinedFiles) -> list[Path]:
    """Write the rows.

    Args:
        mined: The set.
        folder: Destination; made if missing.
        wanted: Form, file type, and whether similarities are written, as ``output_scores`` of
            sentence-transformers; labels, without which a row has no meaning, stay next to them.

    Returns:
        The files, the one with the rows first.
    """
    wanted.check(mined.settings)
    mined = written(mined, wanted.form)
    folder.mkdir(parents=True, exist_ok=True)
    if wanted.form == "beir":
        return _beir(mined, folder)
    rows = list(_WRITERS[wanted.form](mined, wanted.scores))
    path = folder / names_of(wanted.form, wanted.file_type)[0]
    write_atomically(path, json_lines(rows) if wanted.file_type == "jsonl" else _parquet(rows))
    return [path]


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer, compression="zstd")
    return buffer.getvalue()


def _each(mined: MinedSet) -> Iterator[tuple[str, str, float, list[str], list[float]]]:
    """Anchor, positive and its score, negatives and theirs, of every row that is kept."""
    texts, data = mined.data.texts, mined.data
    for row in mined.kept.nonzero()[0].tolist():
        there = mined.negatives[row] >= 0
        yield (
            texts[data.anchor[row]],
            texts[data.positive[row]],
            round(float(mined.positive_score[row]), 6),
            [texts[i] for i in mined.negatives[row][there].tolist()],
            [round(float(s), 6) for s in mined.scores[row][there]],
        )


def _triplets(mined: MinedSet, scores: bool) -> Rows:
    for anchor, positive, s_pos, negatives, found in _each(mined):
        for negative, s_neg in zip(negatives, found, strict=True):
            row: dict[str, Any] = {"anchor": anchor, "positive": positive, "negative": negative}
            yield row | ({"scores": [s_pos, s_neg]} if scores else {})


def _tuples(mined: MinedSet, scores: bool) -> Rows:
    for anchor, positive, s_pos, negatives, found in _each(mined):
        row: dict[str, Any] = {"anchor": anchor, "positive": positive}
        row |= {f"negative_{i}": text for i, text in enumerate(negatives, 1)}
        yield row | ({"scores": [s_pos, *found]} if scores else {})


def _labelled_lists(mined: MinedSet, scores: bool) -> Rows:
    for anchor, positive, s_pos, negatives, found in _each(mined):
        row: dict[str, Any] = {"anchor": anchor, "positive": [positive, *negatives]}
        row["labels"] = [1, *[0] * len(negatives)]
        yield row | ({"scores": [s_pos, *found]} if scores else {})


def _labelled_pairs(mined: MinedSet, scores: bool) -> Rows:
    for anchor, group in _grouped(mined).items():
        for texts, label in ((group.positives, 1), (group.negatives, 0)):
            for text, score in texts.items():
                row: dict[str, Any] = {"anchor": anchor, "positive": text, "label": label}
                yield row | ({"score": score} if scores else {})


class _Names:
    """An id for every text, the one that it came with or a new one; no two alike."""

    def __init__(self, known: Mapping[str, str], letter: str) -> None:
        self.known, self.letter, self.number = known, letter, 0
        self.taken = set(known.values())
        self.given: dict[str, str] = {}
        self.used: set[str] = set()

    def of(self, text: str) -> str:
        """The id of a text."""
        if text not in self.given:
            name = self.known.get(text, "")
            while not name or name in self.used:
                name, self.number = f"{self.letter}{self.number}", self.number + 1
                name = "" if name in self.taken else name
            self.given[text] = name
            self.used.add(name)
        return self.given[text]


def _flag_embedding(mined: MinedSet, scores: bool) -> Rows:
    data = mined.data
    queries, documents = _Names(data.query_ids, "q"), _Names(data.document_ids, "d")
    for anchor, group in _grouped(mined).items():
        row: dict[str, Any] = {"id": queries.of(anchor)} if data.query_ids else {}
        row |= {"query": anchor, "pos": list(group.positives), "neg": list(group.negatives)}
        if data.document_ids:
            row["pos_id"] = [documents.of(text) for text in group.positives]
            row["neg_id"] = [documents.of(text) for text in group.negatives]
        if scores:
            row["pos_scores"] = list(group.positives.values())
            row["neg_scores"] = list(group.negatives.values())
        yield row


def _tevatron(mined: MinedSet, scores: bool) -> Rows:
    queries = _Names(mined.data.query_ids, "q")
    documents = _Names(mined.data.document_ids, "d")

    def passages(found: dict[str, float]) -> list[dict[str, Any]]:
        out = []
        for text, score in found.items():
            one: dict[str, Any] = {"docid": documents.of(text), "title": "", "text": text}
            out.append(one | ({"score": score} if scores else {}))
        return out

    for anchor, group in _grouped(mined).items():
        yield {
            "query_id": queries.of(anchor),
            "query": anchor,
            "positive_passages": passages(group.positives),
            "negative_passages": passages(group.negatives),
        }


@dataclass
class _Group:
    """All of one anchor's rows: texts with their scores, in order of appearance."""

    positives: dict[str, float] = field(default_factory=dict)
    negatives: dict[str, float] = field(default_factory=dict)


def _grouped(mined: MinedSet) -> dict[str, _Group]:
    out: dict[str, _Group] = {}
    for anchor, positive, s_pos, negatives, found in _each(mined):
        group = out.setdefault(anchor, _Group())
        group.positives.setdefault(positive, s_pos)
        for text, score in zip(negatives, found, strict=True):
            group.negatives.setdefault(text, score)
    return out


_WRITERS: dict[str, Callable[[MinedSet, bool], Rows]] = {
    "triplet": _triplets,
    "n-tuple": _tuples,
    "labeled-pair": _labelled_pairs,
    "labeled-list": _labelled_lists,
    "flagembedding": _flag_embedding,
    "tevatron": _tevatron,
}


def _beir(mined: MinedSet, folder: Path) -> list[Path]:
    """corpus.jsonl, queries.jsonl, qrels/train.tsv: positives judged 1, negatives 0."""
    groups = _grouped(mined)
    queries = _Names(mined.data.query_ids, "q")
    documents = _Names(mined.data.document_ids, "d")
    judged = ["query-id\tcorpus-id\tscore"]
    for anchor, group in groups.items():
        for texts, score in ((group.positives, 1), (group.negatives, 0)):
            judged += [f"{queries.of(anchor)}\t{documents.of(text)}\t{score}" for text in texts]
    found = documents.given.items()
    (folder / "qrels").mkdir(exist_ok=True)
    texts_of = (
        "\n".join(judged) + "\n",
        json_lines([{"_id": i, "title": "", "text": text} for text, i in found]),
        json_lines([{"_id": i, "text": text} for text, i in queries.given.items()]),
    )
    for name, text in zip(BEIR_FILES, texts_of, strict=True):
        write_atomically(folder / name, text)
    return [folder / name for name in BEIR_FILES]
