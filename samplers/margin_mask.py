"""All candidates, less those that look like false negatives: far above the positive, or its copy.

Source: Zhang et al. 2025, Qwen3 Embedding: Advancing Text Embedding and Reranking Through
Foundation Models, the mask of its contrastive loss. https://arxiv.org/abs/2506.05176 Its margin is
0.1. There the rule holds for all candidates; negatives that were given or mined for an anchor are
spared here unless asked for, and how many of them the rule would have hit is measured
(``own_masked``). A candidate exactly as near as the positive passes the rule, so that copies of the
positive need a rule for themselves: ``copies``. Where documents are contrasted with documents too
(see the pool `in_batch`), the paper masks them by the same bound; ms-swift's code, ``official``,
spares them.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("margin_mask")
class MarginMask:
    """Drop the candidates more similar to the anchor than its positive plus a margin.

    Args:
        margin: Room above the positive, in cosine units, in [-2, 2]; from 2 on nothing is dropped.
        copies: ``drop``: candidates whose text equals the positive's are no negatives either;
            ``keep``: they are, unless the margin drops them.
        curated: ``exempt``: an anchor's own given or mined negatives are never dropped; ``mask``:
            the rule holds for them too.
        variant: ``paper`` or ``official``; they differ where a set of directions has ``d_d``.
    """

    margin: Annotated[float, Interval("[-2, 2]")] = 0.1
    copies: Annotated[str, Choice("drop", "keep")] = "drop"
    curated: Annotated[str, Choice("exempt", "mask")] = "exempt"
    variant: Annotated[str, Choice("paper", "official")] = "paper"
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"margin"})
    test_configs: ClassVar = (
        {"margin": -0.2, "curated": "mask"},
        {"copies": "keep"},
        {"margin": -0.2, "variant": "official"},
    )

    @property
    def needs(self) -> frozenset[str]:
        """Extras on curated candidates and, in the official form, on those of the positive."""
        more = {"of_positive"} if self.variant == "official" else set()
        return frozenset({"own_negative"} | more)

    @property
    def positive_copies(self) -> bool:
        """True if the engine leaves copies of the positive among the candidates."""
        return self.copies == "keep"

    def _above(self, context: SimilarityContext) -> Tensor:
        bound = context.positive_similarity[:, None] + self.margin  # (B, 1)
        above = context.negative_mask & (context.similarity > bound)
        if self.variant == "official":
            above = above & ~context.require("of_positive")
        return above

    def __call__(self, context: SimilarityContext) -> Selection:
        own, above = context.require("own_negative"), self._above(context)
        if self.curated == "exempt":
            above = above & ~own
        return Selection(mask=context.negative_mask & ~above)

    def diagnostics(self, context: SimilarityContext) -> dict[str, Tensor]:
        """``own_masked``: share of the own negatives that the rule hits, exempt or not."""
        own = context.require("own_negative") & context.negative_mask
        hit = (self._above(context) & own).sum(dtype=torch.float32)
        return {"own_masked": hit / own.sum().clamp(min=1)}
