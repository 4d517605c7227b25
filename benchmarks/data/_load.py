"""Data sets of a matrix, each read once per process."""

from collections.abc import Callable
from typing import Any

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.data._types import Ranking
from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.records.cell import Choice, make
from nsbench.samplers._cache import Cache

_loaded: Cache[TrainingData] = Cache(__name__, 16)
_has: Cache[tuple[bool]] = Cache(f"{__name__}.has", 64)


def load_data(choice: Choice) -> TrainingData:
    """Read the data set of a choice; the latest of a process are kept."""
    key = canonical_json(choice.plain())
    found = _loaded.get(key)
    if found is None:
        dataset = make(datasets, choice)
        dataset.check()
        found = _loaded.put(key, dataset())
    return found


def has_dev(choice: Choice) -> bool:
    """Return True if a data set has its own development data; asked once per process."""
    return _asked("dev", choice, lambda spec: spec.dev() is not None)


def has_tests(choice: Choice) -> bool:
    """Return True if a data set has its own tests; asked once per process."""
    return _asked("tests", choice, lambda spec: len(spec.tests()) > 0)


def has_rankings(choice: Choice) -> bool:
    """Return True if one of a data set's own tests is of retrieval; asked once per process."""
    return _asked(
        "rankings", choice, lambda spec: any(isinstance(t, Ranking) for t in spec.tests())
    )


def _asked(what: str, choice: Choice, ask: Callable[[Any], bool]) -> bool:
    key = what, canonical_json(choice.plain())
    found = _has.get(key)
    return (found or _has.put(key, (ask(make(datasets, choice)),)))[0]
