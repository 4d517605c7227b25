"""Unsupervised: the cell's contrastive objective on the cell's data, and nothing else.

Source: Yan et al. 2021, ConSERT, section 3.1. https://aclanthology.org/2021.acl-long.393
"""

from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.regimes import Phase, register


@register("unsupervised")
class Unsupervised:
    """Contrast alone. Of entailment pairs only the texts are used, each alone."""

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """One phase of contrast."""
        return (Phase("contrast", budget),)
