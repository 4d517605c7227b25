"""Harder negatives mixed from the anchor's own hard negatives alone.

Source: Zhao et al. 2025, KaLM-Embedding-V2: Superior Training Techniques and Data Inspire A
Versatile Embedding Model, its online hard-negative mixing. https://arxiv.org/abs/2506.20923 Two own
negatives are mixed with a share from Beta(2, 2); or all of them, with shares that grow with
similarity and sum to 1. No code of it is public: that those shares are a softmax at the objective's
temperature, and how many mixes there are, is our reading. Unless a matrix says otherwise, own
negatives are mined as there: 7 from places 50 to 100. `mixed` mixes from the whole batch.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nsbench.samplers import Interval, Pairing, Selection, SimilarityContext, register
from nsbench.samplers._inner import ChoosesThen, inner_sampler


@register("mixed_own")
class MixedOwn(ChoosesThen):
    """Add mixes of an anchor's own given or mined negatives, in pairs and all together.

    No gradient flows into what is mixed. An anchor without own negatives gets no mix; with a single
    one, its mixes are copies of it.

    Args:
        pairs: Mixes of two own negatives per anchor, >= 0.
        lists: Mixes of all own negatives, 0 or 1.
        concentration: Of the Beta distribution of a pair's shares, a whole number >= 1; 1 is
            uniform, a large one always close to half and half.
        then: Sampler that chooses from real and mixed candidates together.
    """

    pairs: Annotated[int, Interval("[0, inf)")] = 4
    lists: Annotated[int, Interval("[0, inf)")] = 1
    concentration: Annotated[int, Interval("[1, inf)")] = 2
    then: Annotated[str, inner_sampler] = "in_batch"
    reads: ClassVar[frozenset[str]] = frozenset({"anchors", "candidates", "own_negative"})
    pool: ClassVar[Pairing] = (
        "corpus",
        {"shortage": "fewer", "negatives": 7, "depth": 50, "start": 50},
    )
    test_configs: ClassVar = (
        {"pairs": 0},
        {"lists": 0, "concentration": 5, "then": "hard[k=5]"},
        {"then": "noise"},
    )

    def __post_init__(self) -> None:
        if self.lists > 1:
            raise ValueError(f"mixed_own: lists must be 0 or 1, got {self.lists!r}")
        if self.pairs + self.lists == 0:
            raise ValueError("mixed_own: pairs and lists are both 0: nothing would be mixed")

    @property
    def stochastic(self) -> bool:
        """True if pairs are drawn, or the choosing sampler draws."""
        return self.pairs > 0 or bool(getattr(self.wrapped, "stochastic", False))

    def made(self, context: SimilarityContext) -> Tensor:
        """``(B, S, d)`` mixes: the pairs, then the list; of an anchor without own ones anything."""
        own = self._own(context)
        mixes = [self._pairs(context, own)] if self.pairs else []
        if self.lists:
            mixes.append(_list(context, own))
        return torch.cat(mixes, dim=1)

    def __call__(self, context: SimilarityContext) -> Selection:
        synthetic = context.synthetic
        if synthetic is not None:
            mine = synthetic & (synthetic.cumsum(0) <= self.pairs + self.lists)  # (N + S,)
            without = ~self._own(context).any(dim=1, keepdim=True)  # (B, 1)
            context = context.replace(negative_mask=context.negative_mask & ~(without & mine))
        return super().__call__(context)

    @staticmethod
    def _own(context: SimilarityContext) -> Tensor:
        """``(B, N)`` bool, the own negatives that may be chosen."""
        return context.negative_mask & context.require("own_negative")

    def _pairs(self, context: SimilarityContext, own: Tensor) -> Tensor:
        """``(B, pairs, d)`` mixes of two different own negatives."""
        candidates = context.require("candidates")
        order = context.replace(negative_mask=own).ranks().argsort(dim=1)  # (B, N), own ones first
        count = own.sum(dim=1, keepdim=True).clamp(min=1)  # (B, 1)
        first = self._whole(context, count)
        second = (first + 1 + self._whole(context, (count - 1).clamp(min=1))) % count
        one, two = (candidates[order.gather(1, place)] for place in (first, second))
        share = self._beta(context)
        return normalize(share * one + (1 - share) * two, dim=-1)

    def _whole(self, context: SimilarityContext, below: Tensor) -> Tensor:
        """``(B, pairs)`` whole numbers in [0, below), equally likely."""
        lot = _uniform(context, self.pairs, 1)[..., 0]
        return torch.minimum((lot * below).to(torch.int64), below - 1)

    def _beta(self, context: SimilarityContext) -> Tensor:
        """``(B, pairs, 1)`` draws of Beta(a, a), each from two sums of a exponential numbers."""
        sums = [
            -torch.log(_uniform(context, self.pairs, self.concentration).clamp(min=1e-20)).sum(
                dim=-1, keepdim=True
            )
            for _ in range(2)
        ]
        return sums[0] / (sums[0] + sums[1])


def _list(context: SimilarityContext, own: Tensor) -> Tensor:
    """``(B, 1, d)`` mix of all own negatives by a softmax of their similarities."""
    counted = own | ~own.any(dim=1, keepdim=True)
    logits = (context.similarity.float() / context.temperature).masked_fill(~counted, -torch.inf)
    candidates = context.require("candidates")
    width = candidates.shape[0]
    shares = logits.softmax(dim=1)[:, :width]  # made columns are nobody's own
    return normalize((shares @ candidates.float())[:, None, :], dim=-1).to(candidates.dtype)


def _uniform(context: SimilarityContext, count: int, numbers: int) -> Tensor:
    """``(B, count, numbers)`` uniform numbers in [0, 1)."""
    shape = (context.similarity.shape[0], count, numbers)
    return torch.rand(shape, generator=context.generator, device=context.similarity.device)
