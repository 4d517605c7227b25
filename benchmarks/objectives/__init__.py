"""Objectives: the estimator over a selection, one a file.

An objective is a frozen dataclass with ``__call__(similarity, context, selection) -> (B,)``; see
`nsbench.samplers.Objective`. It never waits for the device and gives 0, with zero gradient, for
an anchor that has no negative left.
"""

from nsbench.benchmarks.objectives._softmax import negative_logits, without_empty_rows
from nsbench.samplers import Objective, Registry

objectives: Registry[Objective] = Registry(
    "objective", "nsbench.benchmarks.objectives", group="nsbench.objectives"
)
register = objectives.register

__all__ = ["Objective", "negative_logits", "objectives", "register", "without_empty_rows"]
