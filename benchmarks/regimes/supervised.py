"""Supervised: a classifier of entailment on u, v and |u - v|, trained with the encoder.

Source: Reimers and Gurevych 2019, Sentence-BERT, section 3 (classification objective), as in Yan et
al. 2021, ConSERT, section 3.3. https://arxiv.org/abs/1908.10084
"""

from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.regimes import FirstPhase, Phase, register


@register("supervised")
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

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """One phase of classification."""
        return (self.first("entailment", budget),)
