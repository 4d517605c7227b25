"""Supervised: a classifier of entailment on u, v and |u - v|, trained with the encoder.

Source: Reimers and Gurevych 2019, Sentence-BERT, section 3 (classification objective), as in Yan et
al. 2021, ConSERT, section 3.3. https://arxiv.org/abs/1908.10084
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.regimes import FirstPhase, Phase, register


@register("supervised")
@dataclass(frozen=True)
class Supervised(FirstPhase):
    """Cross-entropy of the three entailment classes; neither sampler nor augmentation acts.

    Args:
        nli: Data set of entailment pairs, a name or a table; empty for the cell's own data.
        variant: ``paper`` classifies (u, v, abs(u - v)), ``official`` also max(u, v) squared, as
            every supervised run of ConSERT's code does.
        steps: Optimizer steps, >= 0; 0 for as many as the cell has.
        batch_size: Pairs in a batch, >= 0; 0 for the cell's.
        learning_rate: Peak learning rate, in [0, 100]; 0 for the cell's.
    """

    nli: str | Mapping[str, Any] = field(default_factory=dict)
    variant: str = "paper"
    steps: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0

    def __post_init__(self) -> None:
        self.check("supervised")

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """One phase of classification."""
        return (self.first("entailment", budget),)
