"""Local files as evaluation tasks: read and checked here, scored by mteb's own task classes.

Source: the task types of Muennighoff et al. 2023, MTEB. https://arxiv.org/abs/2210.07316
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nsbench.benchmarks.data._beir import files_of
from nsbench.benchmarks.data._records import existing, format_of, records, sha256
from nsbench.benchmarks.local_rows import READERS, Table, classified, judged
from nsbench.benchmarks.mteb_adapter import contained, mteb_module
from nsbench.samplers import one_of, suggest

OWN = "own"
"""Stands for the tests that a data set brings along."""
TAKEN = (OWN, "geometry", "frequent_tokens")
"""Task names that mean something else in scores."""
SUBSET = "default"
TOLD_BY_COLUMNS = ("sts", "pair_classification", "reranking")
LARGEST_SAMPLE = 16_384
"""Most texts that one of the ten clusterings draws, as in mteb; of a smaller file, as many."""
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
    """A task made of local files.

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
    """

    name: str
    kind: str
    path: str
    columns: tuple[tuple[str, str], ...] = ()
    split: str = "test"
    train: str = ""
    header: bool = True
    digest: str = ""

    def __post_init__(self) -> None:
        who = f"evaluation task {self.name!r}"
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"{who}: a name is letters, digits and _ . - and opens with no sign")
        if self.name in TAKEN:
            raise ValueError(f"{who}: the names {', '.join(TAKEN)} mean something else")
        for column in ("kind", "path", "split", "train", "digest"):
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
        """The task as plain data, as it stands in a cell."""
        return vars(self) | {"columns": dict(self.columns)}


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


def evaluation_tasks(
    entries: Iterable[str | Mapping[str, Any]],
) -> tuple[str | LocalTask, ...]:
    """The tasks of a matrix file; those of local files are read, checked and get their digest.

    Raises:
        ValueError: If a table or a file is not as it should be, or two tasks share a name.
        FileNotFoundError: If a file is missing.
    """
    out = tuple(e if isinstance(e, str) else fingerprinted(local_task(e)) for e in entries)
    names = [task.name for task in out if isinstance(task, LocalTask)]
    every = names + [task for task in out if isinstance(task, str)]
    for name in names:
        if every.count(name) > 1:
            raise ValueError(f"two evaluation tasks are called {name!r}")
    return out


def development_task(
    entry: str | Mapping[str, Any], tasks: Iterable[str | LocalTask]
) -> str | LocalTask:
    """What chooses the checkpoint, read and checked as `evaluation_tasks` does.

    Raises:
        ValueError: As there, or if its files are those of a task that is scored.
        FileNotFoundError: If a file is missing.
    """
    if isinstance(entry, str):
        return entry
    dev = fingerprinted(local_task(entry))
    for task in tasks:
        if isinstance(task, LocalTask) and task.digest == dev.digest:
            raise ValueError(
                f"checkpoints are chosen on development data, and dev names the very bytes that "
                f"the task {task.name!r} is scored on"
            )
    return dev


def task_of_file(path: Path) -> LocalTask:
    """The task that a file or folder is by its columns; it is called like it.

    Raises:
        ValueError: If its columns are those of no kind, or need more than one file.
        FileNotFoundError: If nothing is there.
    """
    name = re.sub(r"[^\w.-]+", "-", existing(path.expanduser()).name.split(".")[0]) or "test"
    if path.expanduser().is_dir():
        return fingerprinted(LocalTask(name, "retrieval", str(path)))
    _, first = next(records(path.expanduser()), ("", {}))
    for kind in TOLD_BY_COLUMNS:
        if set(KINDS[kind].columns) <= set(first):
            return fingerprinted(LocalTask(name, kind, str(path)))
    legal = "; ".join(", ".join(KINDS[k].columns) for k in TOLD_BY_COLUMNS)
    raise ValueError(
        f"{path} has the columns {', '.join(map(str, first)) or '(no row)'}; legal are {legal}, "
        "or a folder with corpus, queries and qrels"
    )


def fingerprinted(task: LocalTask) -> LocalTask:
    """The task with the digest of its files, which have been read and checked."""
    read_task(task)
    return replace(task, digest=sha256(files(task)))


def files(task: LocalTask) -> tuple[Path, ...]:
    """What it is read from.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    path = existing(Path(task.path).expanduser())
    if task.kind == "retrieval":
        if not path.is_dir():
            raise ValueError(f"{path} is no folder with corpus, queries and qrels")
        return files_of(path, task.split)
    both = (path, *([existing(Path(task.train).expanduser())] if task.train else []))
    for file in both:
        format_of(file)
    return both


def read_task(task: LocalTask) -> dict[str, Any]:
    """Its data by split: columns as mteb names them, or corpus, queries and judgements.

    Raises:
        ValueError: If a row is not as it should be, naming file and line, or the files are others
            than those whose digest the task has.
        FileNotFoundError: If a file is missing.
    """
    found = files(task)
    if task.digest and sha256(found) != task.digest:
        raise ValueError(
            f"evaluation task {task.name!r}: {found[0]} is another file than its digest says; it "
            "has changed since the matrix was planned, or since the digest was written down"
        )
    stamp = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in found)
    return _read(replace(task, digest=""), stamp)


@lru_cache(maxsize=32)
def _read(task: LocalTask, stamp: object) -> dict[str, Any]:
    if task.kind == "retrieval":
        return {task.split: judged(Path(task.path).expanduser(), task.split)}
    path = Path(task.path).expanduser()
    if task.kind == "classification":
        train = _table(task, Path(task.train).expanduser())
        return classified(train, _table(task, path))
    return {"test": READERS[task.kind](_table(task, path))}


def _table(task: LocalTask, path: Path) -> Table:
    return Table(path, KINDS[task.kind].columns, dict(task.columns), task.header)


def mteb_task(task: LocalTask) -> Any:
    """A fresh task object of mteb's class for the kind, its data loaded.

    Raises:
        ValueError: As `read_task`.
        FileNotFoundError: If a file is missing.
    """
    from datasets import Dataset, DatasetDict

    data, kind = read_task(task), KINDS[task.kind]
    with contained():
        bases = mteb_module().abstasks
        metadata = mteb_module().TaskMetadata(
            name=task.name,
            description="A local file.",
            dataset={"path": f"local/{Path(task.path).name}", "revision": task.digest or "local"},
            type=kind.category,
            eval_splits=[task.split if task.kind == "retrieval" else "test"],
            eval_langs=["eng-Latn"],
            main_score=kind.main_score,
            is_public=False,
        )
        given: dict[str, Any] = {"metadata": metadata}
        if task.kind == "sts":
            scores = data["test"]["score"]
            given |= {"min_score": min(scores), "max_score": max(scores)}
        if task.kind == "clustering":
            number = len(data["test"]["labels"])
            given |= {"max_fraction_of_documents_to_embed": None}
            given["max_documents_per_cluster"] = min(LARGEST_SAMPLE, number)
        made = type(f"Local{kind.category}", (getattr(bases, kind.base),), given)()
        if kind.base == "AbsTaskRetrieval":
            ((name, split),) = data.items()
            tables = {k: Dataset.from_list(split[k]) for k in ("corpus", "queries")}
            made.dataset = {SUBSET: {name: split | tables}}
        else:
            made.dataset = DatasetDict({k: Dataset.from_dict(v) for k, v in data.items()})
        made.data_loaded = True
    return made
