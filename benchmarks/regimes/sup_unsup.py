"""Sup-unsup: classification of entailment pairs first, then contrast of the cell's own texts.

Source: Yan et al. 2021, ConSERT, section 3.3 (sup-unsup).
https://aclanthology.org/2021.acl-long.393
"""

from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.regimes import FirstPhase, Phase, register


@register("sup_unsup")
class SupUnsup(FirstPhase):
    """A supervised phase, then an unsupervised one with the cell's own budget.

    Args:
        nli: Data set of entailment pairs, a name or a table; empty for the cell's own data.
        variant: ``paper`` or ``official``, as in supervised.
        steps: Steps of the first phase, >= 0; 0 for as many as the cell has.
        batch_size: Its batch size, >= 0; 0 for the cell's.
        learning_rate: Its peak learning rate, in [0, 100]; 0 for the cell's.
    """

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """Classification, then contrast."""
        return self.first("entailment", budget), Phase("contrast", budget)
