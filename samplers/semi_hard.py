"""Semi-hard negatives: less similar than the positive, but by less than a margin.

Source: Schroff et al. 2015, FaceNet, section 3.2. https://arxiv.org/abs/1503.03832 There the margin
is 0.2 in squared Euclidean distance, which is 0.1 in cosine; the default here is 0.2 in cosine.
``keep="hardest", margin=2, fallback="easiest"`` is sentence-transformers' batch-semi-hard rule.
"""

from typing import Annotated, ClassVar

import torch

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("semi_hard")
class SemiHard:
    """Keep the negatives with ``s_pos - margin < s_neg < s_pos``.

    Args:
        margin: Width of the band in cosine units, in (0, 2].
        keep: ``all`` of the band, or only its ``hardest`` member.
        fallback: Choice for a row with an empty band: ``all`` candidates or only the ``easiest``.
    """

    margin: Annotated[float, Interval("(0, 2]")] = 0.2
    keep: Annotated[str, Choice("all", "hardest")] = "all"
    fallback: Annotated[str, Choice("all", "easiest")] = "all"
    schedulable: ClassVar[frozenset[str]] = frozenset({"margin"})
    test_configs: ClassVar = (
        {"keep": "hardest"},
        {"keep": "hardest", "margin": 2.0, "fallback": "easiest"},
    )

    def __call__(self, context: SimilarityContext) -> Selection:
        s_neg = context.similarity  # (B, N)
        s_pos = context.positive_similarity[:, None]  # (B, 1)
        band = context.negative_mask & (s_neg < s_pos) & (s_neg > s_pos - self.margin)  # (B, N)
        empty = ~band.any(dim=1, keepdim=True)  # (B, 1)
        if self.keep == "hardest":
            lowest = s_neg.masked_fill(~band, -torch.inf).argmax(dim=1, keepdim=True)  # (B, 1)
            band = band & torch.zeros_like(band).scatter(1, lowest, True)
        rest = context.negative_mask
        if self.fallback == "easiest":
            rest = rest & (context.ranks() == context.eligible - 1)
        return Selection(mask=torch.where(empty, rest, band))
