"""A frozen second model gives weight 0 to negatives that it finds too similar.

Source: Zhou et al. 2022, Debiased Contrastive Learning of Unsupervised Sentence Representations
(DCLR). https://arxiv.org/abs/2205.00656 ``official`` is what the released code makes
of weight 0: it multiplies the logit, so that e^0 = 1 stays in the denominator. Its other half,
noise negatives, is the sampler `noise`; ``noise[then=complementary]`` is the whole.
"""

from collections.abc import Callable
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("complementary")
class Complementary:
    """Drop the candidates whose guide similarity reaches phi.

    A row whose candidates all reach it keeps none; in ``official`` it keeps their e^0.

    Args:
        phi: Guide similarity from which on the weight is 0, in [-1, 2]; above 1 drops nothing.
        variant: ``paper``: dropped; ``official``: each dropped candidate leaves e^0 = 1 in the
            denominator, without gradient, as one synthetic column of similarity 0.
        guide: Encoder that judges: a folder, a hub name or a registered encoder such as
            ``static[source=...]``; empty for the cell's own encoder before training.
    """

    phi: Annotated[float, Interval("[-1, 2]")] = 0.9
    variant: Annotated[str, Choice("paper", "official")] = "paper"
    guide: str = ""
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    may_empty: ClassVar[bool] = True
    test_configs: ClassVar = (
        {"phi": 0.3},
        {"phi": 0.3, "variant": "official"},
        {"phi": -1.0, "variant": "official"},
    )

    @property
    def needs(self) -> frozenset[str]:
        """The guide; and the anchors, for the column that ``official`` adds."""
        return frozenset(
            {"guide_similarity", "anchors"} if self.variant == "official" else {"guide_similarity"}
        )

    @property
    def synthesize(self) -> Callable[[SimilarityContext], Tensor]:
        """Make the column for dropped candidates: the zero vector. ``official`` only."""
        if self.variant == "paper":
            raise AttributeError("the paper's variant makes no candidates")
        return _zero_column

    def __call__(self, context: SimilarityContext) -> Selection:
        dropped = context.negative_mask & (context.require("guide_similarity") >= self.phi)
        kept = context.negative_mask & ~dropped
        if self.variant == "paper":
            return Selection(mask=kept)
        count = dropped.sum(dim=1)  # (B,)
        kept = torch.cat([kept[:, :-1], (count > 0)[:, None]], dim=1)  # its column is the last
        log = torch.log(count.clamp(min=1).to(torch.float32))[:, None]  # (B, 1)
        zeros = torch.zeros_like(kept[:, :-1], dtype=torch.float32)
        return Selection(mask=kept, log_weight=torch.cat([zeros, log], dim=1))


def _zero_column(context: SimilarityContext) -> Tensor:
    anchors = context.require("anchors")
    return anchors.new_zeros(anchors.shape[0], 1, anchors.shape[1])
