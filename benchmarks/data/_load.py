"""Data sets of a matrix, each read once per process."""

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.records.cell import Choice, make
from nsbench.samplers._cache import Cache

_loaded: Cache[TrainingData] = Cache(__name__, 16)


def load_data(choice: Choice) -> TrainingData:
    """Read the data set of a choice; the latest of a process are kept."""
    key = canonical_json(choice.plain())
    found = _loaded.get(key)
    if found is None:
        dataset = make(datasets, choice)
        dataset.check()
        found = _loaded.put(key, dataset())
    return found
