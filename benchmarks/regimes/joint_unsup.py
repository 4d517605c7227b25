"""Joint-unsup: joint training on entailment pairs first, then contrast of the cell's own texts.

Source: Yan et al. 2021, ConSERT, section 3.3 (joint-unsup).
https://aclanthology.org/2021.acl-long.393
"""

from typing import Annotated

from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.regimes import FirstPhase, Phase, register
from nsbench.benchmarks.regimes.joint import joint_weight
from nsbench.samplers import Interval


@register("joint_unsup")
class JointUnsup(FirstPhase):
    """A joint phase, then an unsupervised one with the cell's own budget.

    Args:
        nli: Data set of entailment pairs, a name or a table; empty for the cell's own data.
        weight: The paper's alpha in the joint phase, in [0, 1000].
        variant: ``paper`` or ``official``, as in joint.
        steps: Steps of the first phase, >= 0; 0 for as many as the cell has.
        batch_size: Its batch size, >= 0; 0 for the cell's.
        learning_rate: Its peak learning rate, in [0, 100]; 0 for the cell's.
    """

    weight: Annotated[float, Interval("[0, 1000]")] = 0.15

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """Joint training, then contrast."""
        joint = self.first("joint", budget, joint_weight(self.weight, self.variant))
        return joint, Phase("contrast", budget)
