"""Rows of local test sets, checked one by one and laid out as mteb's task classes read them.

Source: the data formats of Muennighoff et al. 2023, MTEB. https://arxiv.org/abs/2210.07316
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nsbench.benchmarks.data._beir import judgements
from nsbench.benchmarks.data._reading import Reading, Report, RowError
from nsbench.benchmarks.data._records import records
from nsbench.benchmarks.data._values import (
    Said,
    class_of,
    label_of,
    number_of,
    shown,
    text_of,
    texts_of,
)
from nsbench.samplers import suggest

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Table:
    """A file with the columns that its kind needs.

    Attributes:
        path: The file.
        columns: Our names of its columns.
        theirs: The file's names, where they differ.
        reading: How the file is read.
        report: What was read and left out.
    """

    path: Path
    columns: tuple[str, ...]
    theirs: Mapping[str, str]
    reading: Reading = field(default_factory=Reading)
    report: Report = field(default_factory=Report)

    def each(self, use: Callable[[str, dict[str, Any]], None]) -> None:
        """Hand over every row: its place in the file, and its columns by our names.

        Args:
            use: Takes a row, or raises `RowError`; then the report's policy decides.

        Raises:
            ValueError: If a column is missing, or no row is left.
        """
        used = 0
        for where, row in records(self.path, self.reading, self.report):
            with self.report.guarded():
                use(where, {ours: self._cell(where, row, ours) for ours in self.columns})
                used += 1
        if not used:
            left = sum(count for count, _ in self.report.left_out.values())
            why = f"none of its rows can be used, {left} were left out" if left else "it has no row"
            raise ValueError(f"{self.path} is empty: {why}")

    def _cell(self, where: str, row: Mapping[str, Any], ours: str) -> Any:
        name = self.theirs.get(ours, ours)
        if name not in row:
            hint = "" if ours in self.theirs else f" Rename with columns = {{{ours} = '...'}}."
            what = f". {suggest(name, map(str, row))}{hint}"
            raise RowError(where, f"has no {name!r}", what)
        return row[name]


def graded(table: Table) -> Columns:
    """Pairs with a score on any scale."""

    def score(where: str, row: Mapping[str, Any]) -> float:
        found = number_of(where, "score", row["score"])
        if not math.isfinite(found):
            raise RowError(where, "score must be finite", f", got {shown(row['score'])}")
        return found

    out = _pairs(table, "score", score)
    if len(set(out["score"])) < 2:
        raise ValueError(f"{table.path} has one score only, {out['score'][0]:g}: nothing to rank")
    return out


def paired(table: Table) -> Columns:
    """Pairs that belong together or not.

    A pair that occurs twice with one label counts twice; one with both, in either order of its
    sentences, is a bad row.
    """
    said = Said("the pair has two labels")

    def label(where: str, row: Mapping[str, Any]) -> int:
        found = class_of(where, row["label"])
        key = frozenset(text_of(where, row, sentence) for sentence in ("sentence1", "sentence2"))
        said.note(where, {key: found})
        return found

    out = _pairs(table, "labels", label)
    if len(set(out["labels"])) < 2:
        only = out["labels"][0]
        raise ValueError(f"{table.path} has one label only, {only}: nothing to separate")
    return out


def _pairs(table: Table, name: str, value: Callable[[str, Mapping[str, Any]], float]) -> Columns:
    """Both sentences of every row, and under a name of mteb's what the row says of them."""
    out: Columns = {"sentence1": [], "sentence2": [], name: []}

    def use(where: str, row: Mapping[str, Any]) -> None:
        found = value(where, row)
        both = [text_of(where, row, sentence) for sentence in ("sentence1", "sentence2")]
        out[name].append(found)
        for sentence, text in zip(("sentence1", "sentence2"), both, strict=True):
            out[sentence].append(text)

    table.each(use)
    return out


def labelled(table: Table) -> Columns:
    """Texts with a label each, as text.

    A text that occurs twice with one label counts twice; one with two labels is a bad row.
    """
    said = Said("the text has two labels")
    out: Columns = {"text": [], "label": []}

    def use(where: str, row: Mapping[str, Any]) -> None:
        label, text = label_of(where, row["label"]), text_of(where, row, "text")
        if label is None:
            raise RowError(where, "label must be one value", f", got {shown(row['label'])}")
        said.note(where, {text: label})
        out["text"].append(text)
        out["label"].append(label)

    table.each(use)
    return out


def _numbered(table: Table, labels: list[str]) -> dict[str, int]:
    names = {label: number for number, label in enumerate(sorted(set(labels)))}
    if len(names) < 2:
        raise ValueError(f"{table.path} has one label only, {labels[0]!r}")
    return names


def classified(train: Table, test: Table) -> dict[str, Columns]:
    """Rows to fit and rows to score, labels as numbers."""
    splits = {"train": labelled(train), "test": labelled(test)}
    names = _numbered(train, splits["train"]["label"])
    unknown = sorted(set(splits["test"]["label"]) - set(names))
    if unknown:
        raise ValueError(f"{test.path} has the label {unknown[0]!r}, which {train.path} does not")
    return {k: v | {"label": [names[x] for x in v["label"]]} for k, v in splits.items()}


def clustered(table: Table) -> Columns:
    """Texts to be clustered, their labels as numbers."""
    found = labelled(table)
    names = _numbered(table, found["label"])
    return {"sentences": found["text"], "labels": [names[x] for x in found["label"]]}


def reranked(table: Table) -> dict[str, Any]:
    """Queries, each with its own candidates, laid out as mteb's reranking tasks.

    A query may occur again with other candidates; one that an earlier row of it called the
    opposite is a bad row.
    """
    said = Said("a text is positive in one row of a query and negative in another")
    corpus: list[dict[str, str]] = []
    queries: list[dict[str, str]] = []
    relevant: dict[str, dict[str, int]] = {}
    candidates: dict[str, list[str]] = {}

    def use(where: str, row: Mapping[str, Any]) -> None:
        right, wrong = (texts_of(where, row, column) for column in ("positive", "negative"))
        if not right or not wrong:
            raise RowError(where, "needs a positive and a negative text at least")
        both = sorted(set(right) & set(wrong))
        if both:
            what = f"{both[0]!r} is positive and negative at once"
            raise RowError(where, what, kind="a text is positive and negative at once")
        text = text_of(where, row, "query")
        calls = {(text, candidate): "positive" for candidate in right}
        said.note(where, calls | {(text, candidate): "negative" for candidate in wrong})
        query = f"test_query{len(queries)}"
        queries.append({"id": query, "text": text})
        # mteb's own names: equal scores are put in the order of names.
        named = {f"apositive_{query}_{i:05}": text for i, text in enumerate(right)}
        relevant[query] = dict.fromkeys(named, 1)
        others = {f"negative_{query}_{i:05}": text for i, text in enumerate(wrong)}
        relevant[query] |= dict.fromkeys(others, 0)
        candidates[query] = [*named, *others]
        corpus.extend({"id": i, "title": "", "text": t} for i, t in (named | others).items())

    table.each(use)
    return {
        "corpus": corpus,
        "queries": queries,
        "relevant_docs": relevant,
        "top_ranked": candidates,
    }


def judged(
    folder: Path, split: str, reading: Reading | None = None, report: Report | None = None
) -> dict[str, Any]:
    """A folder as BEIR lays it out; judgements must be whole numbers.

    Documents without a text stay candidates, as they are in mteb.
    """
    found = judgements(folder, split, reading, report, blank_documents=True)
    for query, scores in found.scores.items():
        for document, score in scores.items():
            if score != int(score):
                raise ValueError(
                    f"{folder}: the judgement of {query!r} and {document!r} is {score:g}; "
                    "scores must be whole numbers"
                )
    return {
        "corpus": [{"id": i, "text": text} for i, text in found.corpus.items()],
        "queries": [{"id": i, "text": found.queries[i]} for i in found.scores],
        "relevant_docs": {
            q: {d: int(score) for d, score in scores.items()} for q, scores in found.scores.items()
        },
        "top_ranked": None,
    }


READERS: Mapping[str, Callable[[Table], dict[str, Any]]] = {
    "sts": graded,
    "pair_classification": paired,
    "clustering": clustered,
    "reranking": reranked,
}
"""Functions that read the file of a kind, for kinds of one file."""
