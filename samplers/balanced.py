"""Negatives balanced over the margins by which a teacher prefers the positive.

Source: Hofstätter et al. 2021, Efficiently Teaching an Effective Dense Retriever with Balanced
Topic Aware Sampling (TAS-B). https://arxiv.org/abs/2104.06967 The balanced half of it: the range
of an anchor's margins is cut into bins of equal width, and a bin that is not empty is drawn before
a pair in it, so that rare margins count as much as frequent ones. There a cross-encoder is the
teacher and one given pair is drawn a query; here a guide is, and among the batch as well.
``topic[then=balanced]`` is the whole.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register
from nsbench.samplers._draw import draw


@register("balanced")
class Balanced:
    """Draw k candidates, every bin of the teacher's margins equally likely.

    Args:
        k: Draws per anchor, without replacement, >= 1.
        bins: Parts of equal width of the range of an anchor's margins, >= 1; 1 draws at random.
        among: Who is drawn: ``all`` candidates, or an anchor's ``own`` given or mined negatives.
        guide: The teacher; empty for the cell's own encoder before training.
    """

    k: Annotated[int, Interval("[1, inf)")] = 16
    bins: Annotated[int, Interval("[1, inf)")] = 10
    among: Annotated[str, Choice("all", "own")] = "all"
    guide: str = ""
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    stochastic: ClassVar[bool] = True
    test_configs: ClassVar = ({"k": 2, "bins": 3}, {"among": "own", "k": 1}, {"bins": 1})

    @property
    def needs(self) -> frozenset[str]:
        """The teacher's similarities, and whose negatives are drawn."""
        own = {"own_negative"} if self.among == "own" else set()
        return frozenset({"guide_similarity"} | own)

    @property
    def may_empty(self) -> bool:
        """True if an anchor without own negatives draws nothing."""
        return self.among == "own"

    def __call__(self, context: SimilarityContext) -> Selection:
        asked = context.negative_mask
        if self.among == "own":
            asked = asked & context.require("own_negative")
        weight = -torch.log(self.crowd(context, asked).clamp(min=1))  # (B, N)
        return Selection(mask=draw(context, weight.masked_fill(~asked, -torch.inf), self.k))

    def crowd(self, context: SimilarityContext, asked: Tensor) -> Tensor:
        """``(B, N)`` number of candidates in each one's bin.

        Args:
            context: Holds the teacher's similarities.
            asked: ``(B, N)`` bool, who counts.
        """
        score = context.require("guide_similarity").float()
        margin = score.gather(1, context.positive[:, None]) - score  # (B, N)
        low = margin.masked_fill(~asked, torch.inf).amin(dim=1, keepdim=True)
        high = margin.masked_fill(~asked, -torch.inf).amax(dim=1, keepdim=True)
        place = (margin - low) / (high - low).clamp(min=1e-6) * self.bins
        place = torch.where(asked, place, torch.zeros_like(place))
        place = place.to(torch.int64).clamp(0, self.bins - 1)
        counts = torch.zeros(len(score), self.bins, device=score.device)
        return counts.scatter_add(1, place, asked.float()).gather(1, place)
