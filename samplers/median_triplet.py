"""One deputy for all negatives: of median similarity, or the mean of a few high ranks.

Source: Wang et al. 2021, Solving Inefficiency of Self-supervised Representation Learning.
https://arxiv.org/abs/2104.08760 ``paper`` is the median deputy of its first version, ``official``
what the released code does: the ten hardest, without the hardest, averaged.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import (
    Choice,
    Interval,
    Pairing,
    Selection,
    SimilarityContext,
    at_least,
    register,
)


@register("median_triplet")
class MedianTriplet:
    """Keep the median candidate, or the ranks just behind the hardest.

    A deputy is almost surely a true negative, because false negatives sit at the hardest ranks.
    The paired objective averages over what is kept. A row with no rank in the window keeps its
    easiest candidate.

    Args:
        variant: ``paper``: the lower median, rank ceil(n / 2) of n counted from the hardest;
            ``official``: ranks drop + 1 up to upto.
        drop: Hardest ranks left out, >= 0; read by ``official`` only.
        upto: Last rank kept, counted from 1, > drop; read by ``official`` only.
    """

    variant: Annotated[str, Choice("paper", "official")] = "paper"
    drop: Annotated[int, Interval("[0, inf)")] = 1
    upto: int = 10
    test_configs: ClassVar = ({"variant": "official"}, {"variant": "official", "drop": 0})

    def __post_init__(self) -> None:
        at_least("median_triplet", "upto", self.upto, self.drop + 1)

    @property
    def objective(self) -> Pairing:
        """The truncated triplet loss of the same variant."""
        return "truncated_triplet", {"variant": self.variant}

    def __call__(self, context: SimilarityContext) -> Selection:
        rank, eligible = context.ranks(), context.eligible
        if self.variant == "paper":
            return Selection(mask=context.negative_mask & (rank == (eligible + 1) // 2 - 1))
        first = (eligible - 1).clamp(max=self.drop)  # (B, 1)
        return Selection(mask=context.negative_mask & (rank >= first) & (rank < self.upto))
