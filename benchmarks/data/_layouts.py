"""Layouts of files and hub data sets: the columns that make a training row."""

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from nsbench.benchmarks.data._columns import NLI, NO_CLASS, TEXT_SIGNS, Layout, Options
from nsbench.benchmarks.data._reading import RowError
from nsbench.benchmarks.data._rows import Rows
from nsbench.benchmarks.data._values import (
    class_of,
    key_of,
    label_of,
    maybe,
    number_of,
    required,
    shown,
    text_of,
    texts_of,
    titled,
)
from nsbench.samplers import suggest

_MNLI = ("premise", "hypothesis", "label")
_SNLI = ("sentence1", "sentence2", "gold_label")
_NEGATIVES = re.compile(r"negative(_\d+|s)?")
_CLASSES = frozenset(["nli", "nli_labels"])


def _triplets(rows: Rows, where: str, row: Mapping[str, Any], options: Options) -> None:
    anchor = text_of(where, row, "anchor")
    named = [c for c in row if c[:8] == "negative" and _NEGATIVES.fullmatch(c)]
    named.sort(key=lambda c: int(c.partition("_")[2] or 0))
    negatives = [
        text
        for c in named
        for text in (
            texts_of(where, row, c)
            if isinstance(row[c], list) or c == "negatives"
            else maybe(where, row, c)
        )
    ]
    told_by = rows.told_by(where, row, ("labels", "label", "score"))
    if told_by != "score":
        _no_threshold(where, options)
    if told_by == "labels":
        _labelled_list(rows, where, row, anchor, negatives)
        return
    if isinstance(row.get("positive"), list):
        what = "positive is a list, and no labels say which of its texts are positives"
        raise RowError(where, what)
    positive = text_of(where, row, "positive")
    label: int | None
    if told_by == "label":
        label = class_of(where, row["label"])
    elif told_by == "score":
        label = _above(rows, where, row["score"], options)
    else:
        rows.add(anchor, positive, negatives)
        return
    if label is not None and rows.judge(where, anchor, positive, label):
        rows.add(anchor, positive, negatives)


def _labelled_list(
    rows: Rows, where: str, row: Mapping[str, Any], anchor: str, negatives: list[str]
) -> None:
    """A row of our format labeled-list: documents of an anchor, each with 1 or 0."""
    texts, labels = texts_of(where, row, "positive"), row["labels"]
    if not isinstance(labels, list) or len(labels) != len(texts):
        got = f", got {shown(labels)}"
        raise RowError(where, "labels must be a list with a 0 or 1 for each text of positive", got)
    classes = [class_of(where, label, "labels") for label in labels]
    for text, label in zip(texts, classes, strict=True):
        if rows.judge(where, anchor, text, label):
            rows.add(anchor, text, negatives)


def _no_threshold(where: str, options: Options) -> None:
    if options.min_score is not None:
        raise RowError(where, f"min_score is {options.min_score}, but the row has no score")


def _above(rows: Rows, where: str, value: object, options: Options) -> int | None:
    """1 for a score from ``min_score`` on; None, counted, for one below."""
    if options.min_score is None:
        raise ValueError(
            f"{where}: the pair has a score; say with min_score from which score on a pair is a "
            "positive, or name only the columns to read with columns = {...}"
        )
    if number_of(where, "score", value) >= options.min_score:
        return 1
    rows.report.leave_out(where, "score below min_score")
    return None


def _simcse(rows: Rows, where: str, row: Mapping[str, Any], options: Options) -> None:
    negative = maybe(where, row, "hard_neg")
    rows.add(text_of(where, row, "sent0"), text_of(where, row, "sent1"), negative)


def _each_positive(
    rows: Rows, where: str, query: str, positives: list[str], negatives: list[str]
) -> None:
    """A row of every positive of a query; a query without any is counted."""
    if not positives:
        rows.report.leave_out(where, "a query without a positive")
    for positive in positives:
        rows.add(query, positive, negatives)


def _flag_embedding(rows: Rows, where: str, row: Mapping[str, Any], options: Options) -> None:
    query, negatives = text_of(where, row, "query"), texts_of(where, row, "neg")
    required(where, row, "pos")
    positives = texts_of(where, row, "pos")
    _each_positive(rows, where, query, positives, negatives)
    if "id" in row:
        rows.query_ids.setdefault(query, key_of(where, row, "id"))
    for texts, column in ((positives, "pos_id"), (negatives, "neg_id")):
        ids = row.get(column)
        if isinstance(ids, list) and len(ids) == len(texts):
            for text, name in zip(texts, ids, strict=True):
                rows.document_ids.setdefault(text, key_of(where, {column: name}, column))


def _tevatron(rows: Rows, where: str, row: Mapping[str, Any], options: Options) -> None:
    query = text_of(where, row, "query")
    required(where, row, "positive_passages")
    negatives = _passages(where, row, "negative_passages")
    positives = _passages(where, row, "positive_passages")
    _each_positive(
        rows, where, query, [text for text, _ in positives], [text for text, _ in negatives]
    )
    if "query_id" in row:
        rows.query_ids.setdefault(query, key_of(where, row, "query_id"))
    for text, name in (*positives, *negatives):
        if name:
            rows.document_ids.setdefault(text, name)


def _passages(where: str, row: Mapping[str, Any], column: str) -> list[tuple[str, str]]:
    """Texts of a list of documents, each with its id or the empty text."""
    values = row.get(column) or []
    if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
        raise RowError(where, f"{column} must be a list of objects with a text")
    return [
        (titled(where, v), key_of(where, v, "docid") if v.get("docid") is not None else "")
        for v in values
    ]


def _tevatron_ids(rows: Rows, where: str, row: Mapping[str, Any], options: Options) -> None:
    known = options.passages
    if known is None:
        raise ValueError(
            f"{where}: names its documents by id; set corpus to the file with their texts "
            "(docid, document_text)"
        )
    query = text_of(where, row, "query_text")
    required(where, row, "positive_document_ids")
    found = {
        column: _documents(where, row, column, known)
        for column in ("positive_document_ids", "negative_document_ids")
    }
    texts = {column: [known[i] for i in ids] for column, ids in found.items()}
    _each_positive(rows, where, query, *texts.values())
    if "query_id" in row:
        rows.query_ids.setdefault(query, key_of(where, row, "query_id"))
    for ids in found.values():
        for name in ids:
            rows.document_ids.setdefault(known[name], name)


def _documents(
    where: str, row: Mapping[str, Any], column: str, known: Mapping[str, str]
) -> list[str]:
    ids = row.get(column) or []
    if not isinstance(ids, list):
        raise RowError(where, f"{column} must be a list of document ids", f", got {shown(ids)}")
    for i in ids:
        if str(i) not in known:
            kind = f"{column} names a document that the corpus does not hold"
            raise RowError(
                where, f"{column} has {shown(i)}, which the corpus does not hold", kind=kind
            )
    return [str(i) for i in ids]


def _nli(
    rows: Rows,
    where: str,
    row: Mapping[str, Any],
    options: Options,
    *,
    columns: tuple[str, str, str] = _MNLI,
) -> None:
    one, two, label_column = columns
    label = _nli_label(where, required(where, row, label_column), options.nli_labels)
    if label is None:
        rows.report.leave_out(where, "no class: annotators disagreed, or two-way labels")
        return
    premise, hypothesis = text_of(where, row, one), text_of(where, row, two)
    if options.nli == "pairs":
        rows.add(premise, hypothesis)
        rows.nli.append(NLI[label])
    elif label == "neutral":
        rows.report.leave_out(where, "neutral: neither a positive nor a negative")
    else:
        both = rows.premises.setdefault(premise, ([], []))
        both[label == "contradiction"].append(hypothesis)


def _nli_label(where: str, value: object, names: Sequence[str]) -> str | None:
    text = (label_of(where, value) or "").casefold()
    if text in NO_CLASS:
        return None
    if text in NLI:
        return text
    if not text.isdigit():
        raise RowError(
            where, f"label is {shown(value)}", f". {suggest(text, NLI)}", kind="no such class"
        )
    if int(text) >= len(names):
        raise ValueError(
            f"{where}: label is the number {text}; say what numbers mean with "
            'nli_labels = ["entailment", "neutral", "contradiction"], in the order of the numbers'
        )
    return names[int(text)]


def _sentences(rows: Rows, where: str, row: Mapping[str, Any], options: Options) -> None:
    one, two = text_of(where, row, "sentence1"), text_of(where, row, "sentence2")
    column = rows.told_by(where, row, ("score", "label"))
    if options.views == "graded":
        if not column:
            raise RowError(where, "views is 'graded', but the pair has no score")
        grade = number_of(where, column, row[column])
        if math.isinf(grade):
            raise RowError(where, f"{column} must be finite", f", got {shown(row[column])}")
        rows.add(one, two)
        rows.grade.append(grade)
    elif not column:
        _no_threshold(where, options)
        rows.add(one, two)
    elif options.min_score is None:
        rows.add(one, one)
        rows.add(two, two)
    elif number_of(where, column, row[column]) >= options.min_score:
        rows.add(one, two)
    else:
        rows.report.leave_out(where, "score below min_score")


def _plain(rows: Rows, where: str, row: Mapping[str, Any], options: Options) -> None:
    text = text_of(where, row, "text")
    rows.add_labelled(where, text, label_of(where, row.get("label")))


_ANNOTATORS = frozenset(["annotator_labels", "label_text", *(f"label{i}" for i in range(1, 6))])
_SCORES = frozenset(["pos_scores", "neg_scores"])
_IDS = frozenset(["id", "pos_id", "neg_id"])
_QUERY = frozenset(["query_id"])

LAYOUTS = (
    Layout(
        ("anchor", "positive"),
        "negative, negative_1, ..., negatives, label, labels or score",
        _triplets,
        harmless=frozenset(["scores"]),
        options=frozenset(["min_score"]),
    ),
    Layout(("sent0", "sent1"), "hard_neg", _simcse),
    Layout(("query", "pos"), "neg", _flag_embedding, harmless=_SCORES, ids=_IDS),
    Layout(("query", "positive_passages"), "negative_passages", _tevatron, ids=_QUERY),
    Layout(
        ("query_text", "positive_document_ids"),
        "negative_document_ids",
        _tevatron_ids,
        ids=_QUERY,
        options=frozenset(["passages"]),
    ),
    Layout(_MNLI, "", _nli, harmless=_ANNOTATORS, options=_CLASSES),
    Layout(_SNLI, "", partial(_nli, columns=_SNLI), harmless=_ANNOTATORS, options=_CLASSES),
    Layout(
        ("sentence1", "sentence2"),
        "score or label",
        _sentences,
        options=frozenset(["min_score", "graded"]),
    ),
    Layout(("text",), "label", _plain, options=frozenset(["label"]), signs=TEXT_SIGNS),
)
ROLES = (*dict.fromkeys(name for layout in LAYOUTS for name in (*layout.required, *layout.known)),)
