"""Tasks as they are asked for, and as they are once loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nsbench.benchmarks.data import Pairs
from nsbench.benchmarks.records.local_task import LocalTask


class MissingDataError(ValueError):
    """Data sets are not in the cache and the hub does not give them; the message names them."""


@dataclass(frozen=True)
class TaskRequest:
    """A task with the part of it that is asked for.

    Attributes:
        name: mteb's name.
        subsets: mteb's subsets; ``None`` for all of them.
        splits: Splits to score; ``None`` for the task's own.
    """

    name: str
    subsets: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None


Request = TaskRequest | LocalTask
"""One task: of mteb, or of local files."""

Named = str | Request
"""A task, or the name of tasks."""


@dataclass(frozen=True)
class Missing:
    """A data set that is not here."""

    task: str
    repository: str
    revision: str
    reason: str

    def __str__(self) -> str:
        return f"{self.task}: {self.repository}@{self.revision} {self.reason}"


@dataclass(frozen=True)
class PairTest:
    """One split and subset of a pure text STS task, with mteb's gold scores scaled to [0, 1]."""

    split: str
    subset: str
    pairs: Pairs


@dataclass(frozen=True, eq=False)
class LoadedTask:
    """A task whose data are in memory.

    Attributes:
        name: mteb's name.
        task: mteb's task object as it was after loading.
        source: ``repository@revision`` of its data.
        pair_tests: Tests that our own engine scores; empty if only mteb can.
        n_examples: Rows scored by split and subset: pairs, labelled texts, or queries.
    """

    name: str
    task: Any
    source: str
    pair_tests: tuple[PairTest, ...]
    n_examples: Mapping[tuple[str, str], int]
