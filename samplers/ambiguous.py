"""Negatives about as similar as the positive: neither too easy nor probably false.

Source: Zhou et al. 2022, SimANS: Simple Ambiguous Negatives Sampling.
https://arxiv.org/abs/2210.11773 ``official`` has the sign of b in the released code, opposite to
the formula. The published a = 0.5 is for dot products in the tens; the default here is 0.5 over
the square of a temperature of 0.05, which is the same in cosines.
"""

from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register
from nsbench.samplers._draw import draw


@register("ambiguous")
class Ambiguous:
    """Draw k candidates with probability exp(-a (s - s_pos - b)^2), without replacement.

    Only the ``top`` hardest candidates can be drawn. A row with fewer than k keeps them all.

    Args:
        k: Negatives per anchor, >= 1.
        a: Sharpness in 1 / cosine squared, in [0, 1e8]; 0 draws uniformly.
        b: Offset of the peak from the positive's similarity, in [-2, 2] cosine.
        top: Number of hardest candidates to draw from, >= 1.
        variant: ``paper``: peak at s_pos + b; ``official``: peak at s_pos - b.
    """

    k: Annotated[int, Interval("[1, inf)")] = 15
    a: Annotated[float, Interval("[0, 100000000.0]")] = 200.0
    b: Annotated[float, Interval("[-2, 2]")] = 0.0
    top: Annotated[int, Interval("[1, inf)")] = 100
    variant: Annotated[str, Choice("paper", "official")] = "paper"
    stochastic: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"a", "b"})
    test_configs: ClassVar = ({"k": 3, "a": 0.0}, {"k": 2, "b": 0.1, "variant": "official"})

    def __call__(self, context: SimilarityContext) -> Selection:
        near = context.negative_mask & (context.ranks() < self.top)
        among = context.replace(negative_mask=near)
        return Selection(mask=draw(among, self.log_weight(context), self.k))

    def log_weight(self, context: SimilarityContext) -> Tensor:
        """``(B, N)`` log probability up to a constant."""
        gap = context.similarity.float() - context.positive_similarity[:, None].float()
        peak = self.b if self.variant == "paper" else -self.b
        return -self.a * (gap - peak) ** 2
