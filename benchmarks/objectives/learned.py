"""Any contrast whose temperature, or bias, is learned with the encoder.

Source: Radford et al. 2021, CLIP: the logarithm of the scale is a parameter, and the scale at most
100. https://arxiv.org/abs/2103.00020 With a bias as well: Zhai et al. 2023, SigLIP.
https://arxiv.org/abs/2303.15343 The sampler sees the temperature of the start. Learning rate and
clipping are those of the encoder.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._embedded import Embedded, losses_of
from nsbench.benchmarks.objectives._inner import Wraps, inner_objective
from nsbench.samplers import Interval, Selection, SimilarityContext, one_of, scheduled


@register("learned")
class Learned(Wraps):
    """An objective of which the optimizer moves numbers too.

    Args:
        inner: The objective, ``name`` or ``name[parameter=value,...]``; the numbers start there.
        parameter: Which number: ``temperature``, ``bias``, or ``all`` that the objective has.
        least: Smallest temperature, in (0, 1].
    """

    inner: Annotated[str, inner_objective] = "info_nce"
    parameter: str = "all"
    least: Annotated[float, Interval("(0, 1]")] = 0.01
    test_configs: ClassVar = ({"inner": "sigmoid"}, {"inner": "nt_xent[temperature=0.2]"})

    def __post_init__(self) -> None:
        inner = inner_objective("learned", "inner", self.inner)
        has = frozenset(getattr(inner, "learnable", ()))
        if not has:
            raise ValueError(f"learned: inner is {self.inner!r}, which has nothing to learn")
        one_of("learned", "parameter", self.parameter, ("all", *sorted(has)))

    @property
    def learned(self) -> Mapping[str, float]:
        """Start of every moved number: the logarithm of a temperature, a bias as it is."""
        inner: Any = inner_objective("learned", "inner", self.inner)
        names = sorted(inner.learnable) if self.parameter == "all" else [self.parameter]
        return {n: math.log(inner.temperature) if n == "temperature" else inner.bias for n in names}

    def bind(self, values: Mapping[str, Tensor]) -> "Learned":
        """A copy whose inner objective has these numbers, 0-dim each, as in `learned`."""
        inner = inner_objective("learned", "inner", self.inner)
        for name, value in values.items():
            if name == "temperature":
                value = value.exp().clamp(self.least, 10)
            inner = scheduled(inner, name, value)
        twin = Learned(self.inner, self.parameter, self.least)
        object.__setattr__(twin, "_bound", inner)
        return twin

    def on_embeddings(
        self, embedded: Embedded, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """As the inner objective."""
        return losses_of(self.wrapped, embedded, context, selection)
