"""Data sets of a matrix, each read once per process."""

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.records.cell import Choice, make

_loaded: dict[str, TrainingData] = {}


def load_data(choice: Choice) -> TrainingData:
    """Read the data set of a choice, once per process."""
    key = canonical_json(choice.plain())
    if key not in _loaded:
        dataset = make(datasets, choice)
        dataset.check()
        _loaded[key] = dataset()
    return _loaded[key]
