"""Joint: classification and contrast of the same entailment pairs, in every step.

Source: Yan et al. 2021, ConSERT, section 3.3 (joint); the official factor and features are those of
the released code. https://aclanthology.org/2021.acl-long.393
"""

from typing import Annotated

from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.regimes import FirstPhase, Phase, register
from nsbench.samplers import Interval

OFFICIAL_FACTOR = 4.0
"""The code adds 2 L_a + 2 L_b where the paper has the mean of L_a and L_b."""


def joint_weight(weight: float, variant: str) -> float:
    """Factor of the mean contrastive loss of premises and hypotheses."""
    return weight * (OFFICIAL_FACTOR if variant == "official" else 1.0)


@register("joint")
class Joint(FirstPhase):
    """Cross-entropy plus ``weight`` times contrast, premises and hypotheses apart.

    A premise is never contrasted with a hypothesis. The classifier sees view 1. Leave the
    objective in its paper variant: this is the official factor.

    Args:
        nli: Data set of entailment pairs, a name or a table; empty for the cell's own data.
        weight: The paper's alpha, in [0, 1000].
        variant: ``paper``: weight * mean(L_a, L_b); ``official``: weight * (2 L_a + 2 L_b), and
            max(u, v) squared among the classifier's features.
        steps: Optimizer steps, >= 0; 0 for as many as the cell has.
        batch_size: Pairs in a batch, >= 0; 0 for the cell's.
        learning_rate: Peak learning rate, in [0, 100]; 0 for the cell's.
    """

    weight: Annotated[float, Interval("[0, 1000]")] = 0.15

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """One phase of both."""
        return (self.first("joint", budget, joint_weight(self.weight, self.variant)),)
