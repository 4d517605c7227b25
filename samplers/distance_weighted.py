"""Negatives drawn so that all distances are equally likely, not all candidates.

Source: Wu et al. 2017, Sampling Matters in Deep Embedding Learning, section 4.
https://arxiv.org/abs/1706.07567 Where the paper subtracts one maximum for the whole batch, which
lets rows underflow, each row has its own here; and the dimension in the density is a parameter,
because the 768 of a text encoder make the draw all but an argmax.
"""

import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Interval, Selection, SimilarityContext, register
from nsbench.samplers._draw import draw


@register("distance_weighted")
class DistanceWeighted:
    """Draw k candidates with probability 1 / q(distance), q the density on a sphere.

    Distances are Euclidean, D = sqrt(2 - 2 s). Candidates nearer than ``near`` are equally likely
    and those from ``far`` on are never drawn. A row with none nearer than ``far`` draws uniformly;
    a row with fewer than k to draw from keeps them all.

    Args:
        k: Negatives per anchor, >= 1.
        dimensions: Of the sphere whose density is undone, >= 2; the paper takes the embedding's.
        near: Distance below which the weight grows no more, in (0, 2).
        far: Distance from which on nothing is drawn, in (near, 2].
    """

    k: Annotated[int, Interval("[1, inf)")] = 1
    dimensions: Annotated[int, Interval("[2, inf)")] = 128
    near: Annotated[float, Interval("(0, 2)")] = 0.5
    far: Annotated[float, Interval("(near, 2]")] = 1.4
    stochastic: ClassVar[bool] = True
    test_configs: ClassVar = ({"k": 5}, {"far": 2.0, "dimensions": 3})

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=draw(context, self.log_weight(context), self.k))

    def log_weight(self, context: SimilarityContext) -> Tensor:
        """``(B, N)`` log of 1 / q up to a constant, at most 0; -inf for what is never drawn."""
        squared = (2 - 2 * context.similarity.float()).clamp(min=0)  # (B, N)
        inside = context.negative_mask & (squared < self.far**2)
        inside = inside & (squared < 4 * (1 - 1e-6))
        squared = squared.clamp(min=self.near**2, max=4 * (1 - 1e-6))
        d = self.dimensions
        log = (2 - d) / 2 * torch.log(squared) - (d - 3) / 2 * torch.log1p(-squared / 4)
        log = log.masked_fill(~inside, -torch.inf)
        none = ~inside.any(dim=1, keepdim=True)  # (B, 1)
        log = torch.where(none & context.negative_mask, torch.zeros_like(log), log)
        top = log.amax(dim=1, keepdim=True).clamp(min=-math.sqrt(torch.finfo(torch.float32).max))
        return log - top
