"""Rows of local test sets, checked one by one and laid out as mteb's task classes read them.

Source: the data formats of Muennighoff et al. 2023, MTEB. https://arxiv.org/abs/2210.07316
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.benchmarks.data._beir import judgements
from nsbench.benchmarks.data._layouts import number_of, text_of, texts_of
from nsbench.benchmarks.data._records import records
from nsbench.samplers import suggest

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Table:
    """A file with the columns that its kind needs.

    Attributes:
        path: The file.
        columns: Our names of its columns.
        theirs: The file's names, where they differ.
        header: Whether csv and tsv files name their columns.
    """

    path: Path
    columns: tuple[str, ...]
    theirs: Mapping[str, str]
    header: bool

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the place of each row in its file, and its columns by our names.

        Raises:
            ValueError: If a column is not there, or the file has no row.
        """
        empty = True
        for where, row in records(self.path, header=self.header):
            for ours in self.columns:
                name = self.theirs.get(ours, ours)
                if name not in row:
                    hint = f" Rename with columns = {{{ours} = '...'}}."
                    hint = "" if ours in self.theirs else hint
                    raise ValueError(
                        f"{where}: has no {name!r}. {suggest(name, map(str, row))}{hint}"
                    )
            empty = False
            yield where, {ours: row[self.theirs.get(ours, ours)] for ours in self.columns}
        if empty:
            raise ValueError(f"{self.path} is empty: it has no row")


def graded(table: Table) -> Columns:
    """Pairs with a score on any scale."""

    def score(where: str, row: Mapping[str, Any]) -> float:
        found = number_of(where, "score", row["score"])
        if not math.isfinite(found):
            raise ValueError(f"{where}: score must be finite, got {row['score']!r}")
        return found

    out = _pairs(table, "score", score)
    if len(set(out["score"])) < 2:
        raise ValueError(f"{table.path} has one score only, {out['score'][0]:g}: nothing to rank")
    return out


def paired(table: Table) -> Columns:
    """Pairs that belong together or not."""
    classes = {"0": 0, "1": 1, "false": 0, "true": 1, "0.0": 0, "1.0": 1}

    def label(where: str, row: Mapping[str, Any]) -> int:
        found = classes.get(str(row["label"]).strip().casefold())
        if found is None:
            raise ValueError(f"{where}: label is {row['label']!r}; it must be 0 or 1")
        return found

    out = _pairs(table, "labels", label)
    if len(set(out["labels"])) < 2:
        only = out["labels"][0]
        raise ValueError(f"{table.path} has one label only, {only}: nothing to separate")
    return out


def _pairs(table: Table, name: str, value: Callable[[str, Mapping[str, Any]], float]) -> Columns:
    """Both sentences of every row, and under a name of mteb's what the row says of them."""
    out: Columns = {"sentence1": [], "sentence2": [], name: []}
    for where, row in table.rows():
        out[name].append(value(where, row))
        for sentence in ("sentence1", "sentence2"):
            out[sentence].append(text_of(where, row, sentence))
    return out


def labelled(table: Table) -> Columns:
    """Texts with a label each, as text."""
    out: Columns = {"text": [], "label": []}
    for where, row in table.rows():
        if row["label"] in (None, "") or isinstance(row["label"], list | dict):
            raise ValueError(f"{where}: label is {row['label']!r}; it must be one value")
        out["text"].append(text_of(where, row, "text"))
        out["label"].append(str(row["label"]))
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
    """Queries, each with its own candidates, laid out as mteb's reranking tasks."""
    corpus, queries, relevant, candidates = [], [], {}, {}
    for number, (where, row) in enumerate(table.rows()):
        right, wrong = (texts_of(where, row, column) for column in ("positive", "negative"))
        if not right or not wrong:
            raise ValueError(f"{where}: needs a positive and a negative text at least")
        both = sorted(set(right) & set(wrong))
        if both:
            raise ValueError(f"{where}: {both[0]!r} is positive and negative at once")
        query = f"test_query{number}"
        queries.append({"id": query, "text": text_of(where, row, "query")})
        # mteb's own names: equal scores are put in the order of names.
        named = {f"apositive_{query}_{i:05}": text for i, text in enumerate(right)}
        relevant[query] = dict.fromkeys(named, 1)
        others = {f"negative_{query}_{i:05}": text for i, text in enumerate(wrong)}
        relevant[query] |= dict.fromkeys(others, 0)
        candidates[query] = [*named, *others]
        corpus += [{"id": i, "title": "", "text": text} for i, text in (named | others).items()]
    return {
        "corpus": corpus,
        "queries": queries,
        "relevant_docs": relevant,
        "top_ranked": candidates,
    }


def judged(folder: Path, split: str) -> dict[str, Any]:
    """A folder as BEIR lays it out; judgements must be whole numbers."""
    found = judgements(folder, split)
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
