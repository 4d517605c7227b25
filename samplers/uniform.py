"""k negatives drawn uniformly from the pool, without replacement.

Source: the control arm of Cai et al. 2020, Are all negatives created equal in contrastive instance
discrimination? https://arxiv.org/abs/2010.06682
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register


@register("random")
class Uniform:
    """Draw k of the eligible candidates at random, each equally likely.

    A row with fewer than k eligible candidates keeps them all.

    Args:
        k: Negatives per anchor, >= 1.
    """

    k: Annotated[int, Interval("[1, inf)")] = 16
    stochastic: ClassVar[bool] = True

    def __call__(self, context: SimilarityContext) -> Selection:
        lot = context.ranks(context.uniform())  # (B, N) a random order of the eligible ones
        return Selection(mask=context.negative_mask & (lot < self.k))
