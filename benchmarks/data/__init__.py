"""Training data: the planted generator, local files and hub data sets, all as `TrainingData`.

A data set is a frozen dataclass with parameters, registered under a name, one a file; see
`DataSet` for what it offers.
"""

from collections.abc import Callable
from dataclasses import field
from typing import dataclass_transform

from nsbench.benchmarks.data._types import (
    DataSet,
    LabelledTexts,
    OwnTest,
    Pairs,
    Ranking,
    TrainingData,
    false_negative_rate,
    normalise,
    text_groups,
)
from nsbench.samplers import Registry

datasets: Registry[DataSet] = Registry(
    "data set", "nsbench.benchmarks.data", group="nsbench.datasets"
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> Callable[[type[DataSet]], type[DataSet]]:
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return datasets.component(name)


__all__ = [
    "DataSet",
    "LabelledTexts",
    "OwnTest",
    "Pairs",
    "Ranking",
    "TrainingData",
    "datasets",
    "false_negative_rate",
    "normalise",
    "register",
    "text_groups",
]
