"""Training data: the planted generator, local files and hub data sets, all as `TrainingData`."""

from nsbench.benchmarks.data._types import (
    LabelledTexts,
    Pairs,
    TrainingData,
    normalise,
    text_groups,
)

__all__ = ["LabelledTexts", "Pairs", "TrainingData", "normalise", "text_groups"]
