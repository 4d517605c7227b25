"""Objectives: the estimator over a selection, one a file.

An objective is a frozen dataclass with ``__call__(similarity, context, selection) -> (B,)``; see
`nsbench.samplers.Objective`. It never waits for the device and gives 0, with zero gradient, for
an anchor that has no negative left.

A class may also say:

* ``views``: ``"one"`` (default) or ``"both"``, the layout it estimates on;
* ``balanced``: True if shifting all similarities of a row changes nothing, so that what the
  negatives push is what the positive pulls: their gradients sum to zero;
* ``needs``: extras of the context that it reads, as a sampler's;
* ``on_embeddings(embedded, context, selection) -> (B,)``: the losses from live embeddings, an
  `Embedded`, which the engine then calls in place of ``__call__``;
* ``learned``: ``{name: start}`` of numbers that the optimizer moves, and ``bind(values)``, a copy
  with those in place; ``learnable``: names of parameters that may be tensors, for `learned`;
* ``check_dimension(d)``: raises ``ValueError`` where embeddings of that length do not do;
* ``diagnostics(similarity, context, selection) -> dict[str, Tensor]``: 0-dim tensors worth
  watching, computed without waiting for the device. Known keys: ``hinge_active`` (share of
  the pairs whose hinge is not at rest: near 0 nothing is learned, always 1 the margin is out of
  reach) and ``clamp_rate`` (share of anchors at the estimator's floor, whose negatives get no
  gradient). Rows without a negative do not count.
"""

from collections.abc import Callable
from dataclasses import field
from typing import dataclass_transform

from nsbench.benchmarks.objectives._softmax import negative_logits, row_share, without_empty_rows
from nsbench.samplers import Objective, Registry

objectives: Registry[Objective] = Registry(
    "objective", "nsbench.benchmarks.objectives", group="nsbench.objectives"
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> Callable[[type[Objective]], type[Objective]]:
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return objectives.component(name)


__all__ = [
    "Objective",
    "negative_logits",
    "objectives",
    "register",
    "row_share",
    "without_empty_rows",
]
