"""Local files as evaluation tasks: read and checked here, scored by mteb's own task classes.

Source: the task types of Muennighoff et al. 2023, MTEB. https://arxiv.org/abs/2210.07316
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nsbench.benchmarks.data._beir import files_of
from nsbench.benchmarks.data._records import existing, format_of, records, sha256
from nsbench.benchmarks.evaluation.local_rows import READERS, Table, classified, judged
from nsbench.benchmarks.records.local_task import KINDS, LocalTask, local_task

TOLD_BY_COLUMNS = ("sts", "pair_classification", "reranking")


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
    """Read and check the task that chooses the checkpoint, as `evaluation_tasks` does.

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


def tasks_of_files(given: Sequence[str | Path]) -> tuple[LocalTask, ...]:
    """The tasks that files and folders are, each under a name of its own.

    ``NAME=PATH`` gives the name; else it is the file's. Where two would be called alike, names
    of the folders above are put in front, as many as tell them apart.

    Args:
        given: Paths, or ``NAME=PATH``; an existing path that holds ``=`` is a path.

    Raises:
        ValueError: As `task_of_file`, or if a name was given twice, or the same file.
    """
    named = [_name_and_path(entry) for entry in given]
    said = [name for name, _ in named if name]
    for name in said:
        if said.count(name) > 1:
            raise ValueError(f"two tests are given the name {name!r}; names must differ")
    places = [path.expanduser().resolve() for _, path in named]
    for place in places:
        if places.count(place) > 1:
            raise ValueError(f"the test {place} is given twice")
    used, names = set(said), []
    for (name, _), place in zip(named, places, strict=True):
        others = [p for (n, _), p in zip(named, places, strict=True) if not n and p != place]
        names.append(name or _own_name(place, others, used))
    return tuple(task_of_file(path, name) for (_, path), name in zip(named, names, strict=True))


def _name_and_path(entry: str | Path) -> tuple[str, Path]:
    """Return the name that was given, or none, and the path."""
    text = str(entry)
    name, equals, path = text.partition("=")
    if not equals or Path(text).expanduser().exists() or "/" in name:
        return "", Path(text)
    if not name or not path:
        raise ValueError(f"a test is PATH or NAME=PATH, got {text!r}")
    return name, Path(path)


def _own_name(place: Path, others: Sequence[Path], used: Collection[str]) -> str:
    """Return the shortest name, of file and folders above, that no other file has."""
    depth = max(len(p.parts) for p in (place, *others))
    for parts in range(1, depth + 1):
        name = _plain_name(place, parts)
        if name not in used and all(name != _plain_name(p, parts) for p in others):
            return name
    raise ValueError(f"{place} has no name that no other test has; give one: NAME={place}")


def _plain_name(place: Path, parts: int) -> str:
    """Return file and folders above as a legal name: ``fr-test`` of ``data/fr/test.csv``."""
    own = place.name if place.is_dir() else place.name.split(".")[0] or place.name
    above = place.parts[1:-1][-(parts - 1) :] if parts > 1 else ()
    text = unicodedata.normalize("NFKD", "-".join((*above, own)))
    text = "".join(c for c in text if not unicodedata.combining(c))
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:100]
    return plain or "test"


def task_of_file(path: Path, name: str = "") -> LocalTask:
    """The task that a file or folder is by its columns.

    Args:
        path: The file or folder.
        name: What it is called; empty for the name of the file.

    Raises:
        ValueError: If its columns are those of no kind, or need more than one file.
        FileNotFoundError: If nothing is there.
    """
    name = name or _plain_name(existing(path.expanduser()), 1)
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
    """Files of a task.

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
