"""The k most similar candidates of every anchor: hard negatives as they come.

Source: Hermans et al. 2017, In Defense of the Triplet Loss for Person Re-Identification (batch
hard is k = 1); top-k as in Xiong et al. 2021, ANCE. https://arxiv.org/abs/1703.07737
https://arxiv.org/abs/2007.00808
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register
from nsbench.samplers._schedule import whole


@register("hard")
class HardTopK:
    """Keep the k hardest candidates.

    A row with fewer than k eligible candidates keeps them all; ties go to the lower column.

    Args:
        k: Negatives per anchor, >= 1.
    """

    k: Annotated[int, Interval("[1, inf)")] = 16
    schedulable: ClassVar[frozenset[str]] = frozenset({"k"})

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask & (context.ranks() < whole(self.k)))
