"""Supervised: a classifier of entailment on u, v and |u - v|, trained with the encoder.

Source: Reimers and Gurevych 2019, Sentence-BERT, section 3 (classification objective), as in Yan et
al. 2021, ConSERT, section 3.3. https://arxiv.org/abs/1908.10084
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nsbench.benchmarks.cell import Budget
from nsbench.benchmarks.regimes import VARIANTS, Phase, check_nli, register
from nsbench.samplers import one_of


@register("supervised")
@dataclass(frozen=True)
class Supervised:
    """Cross-entropy of the three entailment classes; neither sampler nor augmentation acts.

    Args:
        nli: Data set of entailment pairs, a name or a table; empty for the cell's own data.
        variant: ``paper`` classifies (u, v, abs(u - v)), ``official`` also max(u, v) squared, as
            every supervised run of ConSERT's code does.
    """

    nli: str | Mapping[str, Any] = field(default_factory=dict)
    variant: str = "paper"

    def __post_init__(self) -> None:
        check_nli("supervised", self.nli)
        one_of("supervised", "variant", self.variant, VARIANTS)

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """One phase of classification."""
        return (Phase("entailment", budget, nli=True, variant=self.variant),)
