"""Harder negatives made by mixing embeddings.

Source: Kalantidis et al. 2020, Hard Negative Mixing for Contrastive Learning (MoCHi),
https://arxiv.org/abs/2010.01028; Zhang et al. 2022, Unsupervised Sentence Representation via
Contrastive Learning with Mixing Negatives (MixCSE), AAAI. How many to mix, and of how many, are
our numbers for batches; the share of 0.2 is MixCSE's code's, which negative is mixed in is drawn
at random here. That code also contrasts mixed anchors, which has no counterpart here.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nsbench.samplers import Choice, Interval, SimilarityContext, register
from nsbench.samplers._inner import ChoosesThen, inner_sampler


@register("mixed")
class Mixed(ChoosesThen):
    """Add negatives mixed from the hardest ones, the anchor or the positive.

    No gradient flows into what is mixed. A row without candidates gets nothing.

    Args:
        kind: ``mochi``: mixes of two hard negatives, and of a hard negative with the anchor;
            ``mixcse``: one mix of the positive with a negative.
        hardest: Number of hardest candidates that ``mochi`` mixes, >= 1.
        pairs: Mixes of two hard negatives per anchor, >= 0; ``mochi`` only.
        with_anchor: Mixes of a hard negative with the anchor, >= 0; ``mochi`` only.
        weight: Share of the positive in the mix, in [0, 1]; ``mixcse`` only.
        then: Sampler that chooses from real and mixed candidates together.
    """

    kind: Annotated[str, Choice("mochi", "mixcse")] = "mochi"
    hardest: Annotated[int, Interval("[1, inf)")] = 32
    pairs: Annotated[int, Interval("[0, inf)")] = 16
    with_anchor: Annotated[int, Interval("[0, inf)")] = 4
    weight: Annotated[float, Interval("[0, 1]")] = 0.2
    then: Annotated[str, inner_sampler] = "in_batch"
    reads: ClassVar[frozenset[str]] = frozenset({"anchors", "candidates"})
    stochastic: ClassVar[bool] = True
    test_configs: ClassVar = ({"kind": "mixcse"}, {"hardest": 3, "then": "hard[k=5]"})

    def __post_init__(self) -> None:
        if self.kind == "mochi" and self.pairs + self.with_anchor == 0:
            raise ValueError("mixed: pairs and with_anchor are both 0: nothing would be mixed")

    def made(self, context: SimilarityContext) -> Tensor:
        """``(B, S, d)`` mixed embeddings."""
        return self._mochi(context) if self.kind == "mochi" else self._mixcse(context)

    def _mochi(self, context: SimilarityContext) -> Tensor:
        anchors = context.require("anchors")[:, None, :]  # (B, 1, d)
        one, two = self._draw(context, self.pairs), self._draw(context, self.pairs)
        a = _uniform(context, self.pairs)
        mixed = [a * one + (1 - a) * two]
        b = _uniform(context, self.with_anchor) / 2
        mixed.append(b * anchors + (1 - b) * self._draw(context, self.with_anchor))
        return normalize(torch.cat(mixed, dim=1), dim=-1)

    def _mixcse(self, context: SimilarityContext) -> Tensor:
        positive = context.require("candidates")[context.positive][:, None, :]  # (B, 1, d)
        everything = context.similarity.shape[1]
        negative = self._draw(context, 1, among=everything)
        return normalize(self.weight * positive + (1 - self.weight) * negative, dim=-1)

    def _draw(self, context: SimilarityContext, count: int, among: int = 0) -> Tensor:
        """``(B, count, d)`` embeddings drawn with replacement from the hardest eligible ones."""
        candidates = context.require("candidates")
        width = context.eligible.clamp(min=1, max=among or self.hardest)  # (B, 1)
        rank = (_uniform(context, count)[..., 0] * width).to(torch.int64)  # (B, count)
        rank = torch.minimum(rank, width - 1)
        order = context.ranks().argsort(dim=1)  # (B, N) columns, hardest first
        return candidates[order.gather(1, rank)]


def _uniform(context: SimilarityContext, count: int) -> Tensor:
    """``(B, count, 1)`` uniform numbers in [0, 1)."""
    device = context.similarity.device
    shape = (context.similarity.shape[0], count, 1)
    return torch.rand(shape, generator=context.generator, device=device)
