"""Local files as evaluation tasks: read and checked here, scored by mteb's own task classes.

Source: the task types of Muennighoff et al. 2023, MTEB. https://arxiv.org/abs/2210.07316
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from nsbench.benchmarks.data._beir import files_of
from nsbench.benchmarks.data._reading import Reading, Report
from nsbench.benchmarks.data._records import existing, format_of, records, sha256
from nsbench.benchmarks.data._tables import other_delimiter
from nsbench.benchmarks.data._values import shown
from nsbench.benchmarks.evaluation.local_rows import READERS, Table, classified, judged
from nsbench.benchmarks.records.local_task import KINDS, TAKEN, LocalTask, local_task
from nsbench.samplers._cache import cached

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


def task_of_file(path: Path, name: str = "", reading: Reading | None = None) -> LocalTask:
    """The task that a file or folder is by its columns.

    Args:
        path: The file or folder.
        name: Of the task; empty for one that the file's name gives.
        reading: How the file is read.

    Raises:
        ValueError: If its columns are those of no kind, or need more than one file.
        FileNotFoundError: If nothing is there.
    """
    reading = reading or Reading()
    reading.check("--read")
    existing(path.expanduser())
    given = {f.name: getattr(reading, f.name) for f in fields(Reading)}
    name = name or names_of([path])[0]
    if path.expanduser().is_dir():
        return fingerprinted(LocalTask(name, "retrieval", str(path), **given))
    _, first = next(records(path.expanduser(), reading, Report(reading.bad_rows)), ("", {}))
    for kind in TOLD_BY_COLUMNS:
        if set(KINDS[kind].columns) <= set(first):
            return fingerprinted(LocalTask(name, kind, str(path), **given))
    legal = "; ".join(", ".join(KINDS[k].columns) for k in TOLD_BY_COLUMNS)
    have = ", ".join(c if c == c.strip() else shown(c) for c in map(str, first)) or "(no row)"
    advice = other_delimiter(map(str, first))
    raise ValueError(
        f"{path} has the columns {have}; legal are {legal}, or a folder with corpus, queries and "
        f"qrels{advice and '. '}{advice}"
    )


def tasks_of_files(given: Sequence[str | Path], reading: Reading | None = None) -> list[LocalTask]:
    """The tasks of files as a command line names them.

    Args:
        given: ``path`` or ``name=path`` each; an existing path may hold "=".
        reading: How the files are read; options of tables are for the tables among them.

    Raises:
        ValueError: As `task_of_file`, or if two tasks have one name.
        FileNotFoundError: If nothing is there.
    """
    names, paths = [], []
    for word in map(str, given):
        name, equals, path = word.partition("=")
        plain = not equals or Path(word).expanduser().exists()
        if not plain and not (name and path):
            raise ValueError(f"--test: a test is PATH or NAME=PATH, got {word!r}")
        names.append("" if plain else name)
        paths.append(Path(word if plain else path))
    for name in filter(None, names):
        if names.count(name) > 1:
            raise ValueError(f"--test: two test files are called {name!r}")
    made = iter(names_of([p for p, n in zip(paths, names, strict=True) if not n], names))
    reading = reading or Reading()
    each = [reading.of(path) for path in paths]
    if len(paths) == 1 or reading not in each:  # nothing but files that refuse its options
        each = [reading] * len(paths)
    return [
        task_of_file(path, name or next(made), how)
        for path, name, how in zip(paths, names, each, strict=True)
    ]


def names_of(paths: Sequence[Path], taken: Iterable[str] = ()) -> list[str]:
    """A legal name for each of some files, no two alike and none that is taken.

    It is the file's name without its endings, in plain letters. Where two would be alike, the
    names of as many parent folders precede it as distinguish them.

    Raises:
        ValueError: If one file is named twice.
    """
    taken = frozenset(taken)
    whole = [path.expanduser().absolute() for path in paths]
    for i, path in enumerate(whole):
        if path in whole[:i]:
            raise ValueError(f"the test file {paths[i]} is given twice")
    depth = [1] * len(whole)
    while True:
        names = [_plain_name(p, d) for p, d in zip(whole, depth, strict=True)]
        alike = [i for i, n in enumerate(names) if names.count(n) > 1 or n in taken]
        longer = [i for i in alike if depth[i] < len(whole[i].parts)]
        if not longer:
            break
        for i in longer:
            depth[i] += 1
    return [f"{n}-{i + 1}" if i in alike else n for i, n in enumerate(names)]


def _plain_name(path: Path, depth: int) -> str:
    parts = [*path.parts[-depth:-1], path.name.lstrip(".").split(".")[0]]
    plain = unicodedata.normalize("NFKD", "-".join(parts)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", plain)[-80:].strip("-_") or "test"
    return f"{name}-test" if name in TAKEN else name


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
    return _checked(task)[0]


def left_out(tasks: Iterable[object]) -> dict[str, Any]:
    """By name of a task of local files, the reasons why rows were left out of its files."""
    local = (task for task in tasks if isinstance(task, LocalTask))
    found = {task.name: _checked(task)[1]["left_out"] for task in local}
    return {name: reasons for name, reasons in found.items() if reasons}


def _checked(task: LocalTask) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `_read`, of files that are those of the task's digest."""
    found = files(task)
    if task.digest and sha256(found) != task.digest:
        raise ValueError(
            f"evaluation task {task.name!r}: {found[0]} is another file than its digest says; it "
            "has changed since the matrix was planned, or since the digest was written down"
        )
    stamp = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in found)
    return _read(replace(task, digest=""), stamp)


@cached(32)
def _read(task: LocalTask, stamp: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data, and the report of what was read and left out."""
    path, report = Path(task.path).expanduser(), Report(task.bad_rows)
    reading = Reading(**{f.name: getattr(task, f.name) for f in fields(Reading)})
    reading.check(f"evaluation task {task.name!r}")
    if task.kind == "retrieval":
        return {task.split: judged(path, task.split, reading, report)}, report.plain()

    def table(path: Path) -> Table:
        return Table(path, KINDS[task.kind].columns, dict(task.columns), reading, report)

    if task.kind == "classification":
        train = table(Path(task.train).expanduser())
        return classified(train, table(path)), report.plain()
    return {"test": READERS[task.kind](table(path))}, report.plain()
