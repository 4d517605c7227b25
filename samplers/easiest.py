"""The k least similar candidates of every anchor: the control that should learn little.

Source: the easiest-negatives arm of Cai et al. 2020, Are all negatives created equal in contrastive
instance discrimination? https://arxiv.org/abs/2010.06682
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register
from nsbench.samplers._schedule import whole


@register("easiest")
class Easiest:
    """Keep the k easiest candidates.

    A row with fewer than k eligible candidates keeps them all; ties go to the higher column.

    Args:
        k: Negatives per anchor, >= 1.
    """

    k: Annotated[int, Interval("[1, inf)")] = 16
    schedulable: ClassVar[frozenset[str]] = frozenset({"k"})

    def __call__(self, context: SimilarityContext) -> Selection:
        late = context.ranks() >= context.eligible - whole(self.k)  # (B, N)
        return Selection(mask=context.negative_mask & late)
