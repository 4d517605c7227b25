"""An evaluation task from local files, as plain values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nsbench.samplers import one_of, suggest

OWN = "own"
"""Stands for the tests that a data set includes."""

DRAWS = "every label"
"""Drawing rule of a clustering; another text here makes other cells."""

TAKEN = (OWN, "geometry", "frequent_tokens", "first_dimensions")
"""Task names that mean something else in scores."""

YOUNGER = ("quotes", "delimiter", "encoding", "ragged", "bad_rows")
"""Settings that are left out of a cell at their defaults."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Kind:
    """A kind of task.

    Attributes:
        columns: What its files must have; none for a folder.
        base: mteb's class.
        category: How mteb calls it.
        main_score: The score that stands for the task.
    """

    columns: tuple[str, ...]
    base: str
    category: str
    main_score: str


KINDS: Mapping[str, Kind] = {
    "sts": Kind(("sentence1", "sentence2", "score"), "AbsTaskSTS", "STS", "cosine_spearman"),
    "pair_classification": Kind(
        ("sentence1", "sentence2", "label"),
        "AbsTaskPairClassification",
        "PairClassification",
        "max_ap",
    ),
    "classification": Kind(
        ("text", "label"), "AbsTaskClassification", "Classification", "accuracy"
    ),
    "clustering": Kind(("text", "label"), "AbsTaskClustering", "Clustering", "v_measure"),
    "reranking": Kind(
        ("query", "positive", "negative"), "AbsTaskRetrieval", "Reranking", "map_at_1000"
    ),
    "retrieval": Kind((), "AbsTaskRetrieval", "Retrieval", "ndcg_at_10"),
}


@dataclass(frozen=True)
class LocalTask:
    """A task from local files.

    Attributes:
        name: What it is called in scores.
        kind: One of `KINDS`: ``sts`` (``sentence1, sentence2, score``), ``pair_classification``
            (``sentence1, sentence2, label``, 0 or 1), ``classification`` (``text, label``, fitted
            on the file ``train``), ``clustering`` (``text, label``), ``reranking`` (``query,
            positive, negative``: a text and two lists of them), or ``retrieval`` (a folder as BEIR
            lays it out).
        path: The file, of any format that training data may have, or the folder.
        columns: Pairs of our name of a column and the file's, where they differ.
        split: Which judgements of a folder: the name of a file in ``qrels``.
        train: The file that a classification is fitted on.
        header: Whether csv and tsv files name their columns; without, they are "1", "2", ...
        digest: ``sha256:...`` of the files' bytes, filled in before anything trains; given, the
            files must have it.
        quotes: As ``delimiter``, ``encoding``, ``ragged`` and ``bad_rows``: how the files are
            read, as for training data of files.
        delimiter: See there.
        encoding: See there.
        ragged: See there.
        bad_rows: See there.
    """

    name: str
    kind: str
    path: str
    columns: tuple[tuple[str, str], ...] = ()
    split: str = "test"
    train: str = ""
    header: bool = True
    digest: str = ""
    quotes: str = "auto"
    delimiter: str = "auto"
    encoding: str = "utf-8"
    ragged: str = "error"
    bad_rows: str = "error"

    def __post_init__(self) -> None:
        who = f"evaluation task {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"{who}: a name is letters, digits and _ . - and opens with no sign")
        if self.name in TAKEN:
            raise ValueError(f"{who}: the names {', '.join(TAKEN)} mean something else")
        for column in ("kind", "path", "split", "train", "digest", *YOUNGER):
            if not isinstance(getattr(self, column), str):
                raise ValueError(f"{who}: {column} must be text, got {getattr(self, column)!r}")
        one_of(who, "kind", self.kind, KINDS)
        legal = KINDS[self.kind].columns
        for ours, theirs in self.columns:
            if ours not in legal:
                known = suggest(ours, legal) if legal else "A folder has none to rename."
                raise ValueError(f"{who}: a key of columns is {ours!r}. {known}")
            if not isinstance(theirs, str):
                raise ValueError(f"{who}: columns.{ours} must be a column's name, got {theirs!r}")
        if not isinstance(self.header, bool):
            raise ValueError(f"{who}: header must be true or false, got {self.header!r}")
        if (self.kind == "classification") != bool(self.train):
            what = "needs train, the file to fit on" if not self.train else "takes no train file"
            raise ValueError(f"{who}: {self.kind} {what}")

    def plain(self) -> dict[str, Any]:
        """The task as plain data, as a cell holds it.

        Settings younger than the first tasks are left out at their defaults, for their keys.
        ``draws`` marks clusterings whose draws hold every label; older ones did not.
        """
        given = vars(self) | {"columns": dict(self.columns)}
        for name in YOUNGER:
            if given[name] == getattr(LocalTask, name):
                del given[name]
        return given | ({"draws": DRAWS} if self.kind == "clustering" else {})


def json_schema() -> dict[str, Any]:
    """JSON Schema of a task as a matrix file has it: a name, or a table of a local file."""
    text, names = {"type": "string"}, [c for k in KINDS.values() for c in k.columns]
    renamed = {"type": "object", "propertyNames": {"enum": sorted(set(names))}}
    properties: dict[str, Any] = {f.name: text for f in fields(LocalTask)}
    properties |= {"kind": {"enum": list(KINDS)}, "header": {"type": "boolean"}}
    properties["columns"] = renamed | {"additionalProperties": text}
    table = {
        "type": "object",
        "properties": properties,
        "required": ["name", "kind", "path"],
        "additionalProperties": False,
    }
    return {"anyOf": [text, table]}


def local_task(table: Mapping[str, Any]) -> LocalTask:
    """A task out of a table of a matrix file, or of `LocalTask.plain`.

    Raises:
        ValueError: For a key that is unknown or missing, or a value that is not legal.
    """
    table = {k: v for k, v in table.items() if (k, v) != ("draws", DRAWS)}
    legal = [f.name for f in fields(LocalTask)]
    who = f"evaluation task {table.get('name', dict(table))!r}"
    for key in table:
        if key not in legal:
            raise ValueError(f"{who}: unknown key {key!r}. {suggest(key, legal)}")
    for key in ("name", "kind", "path"):
        if key not in table:
            kinds = f"; kinds are {', '.join(KINDS)}" if key == "kind" else ""
            raise ValueError(f"{who} has no {key}: write {{ name, kind, path }}{kinds}")
    columns = table.get("columns", {})
    if not isinstance(columns, Mapping):
        raise ValueError(f"{who}: columns must be a table {{ours = 'theirs'}}, got {columns!r}")
    return LocalTask(**{**table, "columns": tuple(sorted(columns.items()))})
