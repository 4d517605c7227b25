"""InfoNCE over squared similarities: hard negatives are pushed harder, easy positives less.

Source: Hou and Li 2023, Improving Contrastive Learning of Sentence Embeddings with Focal-InfoNCE.
https://arxiv.org/abs/2310.06918 A negative's logit is s (s + m) / temperature, which grows with
2 s + m: negatives below -m / 2 are drawn nearer, a
positive below 0 is pushed away. ``backward`` counts both.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, row_share, without_empty_rows
from nsbench.benchmarks.objectives._contrast import log_negatives
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("focal_info_nce")
class FocalInfoNCE:
    """InfoNCE with the logits s^2 of the positive and s (s + m) of the negatives.

    Args:
        temperature: Divides both, in (0, 10].
        m: Offset of the negatives, in [-1, 2].
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.05
    m: Annotated[float, Interval("[-1, 2]")] = 0.3
    views: ClassVar[str] = "one"
    test_configs: ClassVar = ({"m": 0.0, "temperature": 0.1},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        s = similarity.float()
        squared = s * s / self.temperature  # (B, N)
        own = squared.gather(1, context.positive[:, None])  # (B, 1)
        negatives = log_negatives(s * (s + self.m) / self.temperature, selection)[:, None]
        parts, pulled = [own, negatives], own[:, 0]
        if selection.attract is not None:
            parts.append(squared.masked_fill(~selection.attract, -torch.inf))
            pulled = pulled + (squared * selection.attract).sum(dim=1)
            pulled = pulled / (1 + selection.attract.sum(dim=1))
        return without_empty_rows(torch.cat(parts, dim=1).logsumexp(dim=1) - pulled, selection)

    def diagnostics(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> dict[str, Tensor]:
        """``backward``: share of negatives drawn nearer and positives pushed away."""
        there = selection.mask.any(dim=1, keepdim=True)  # (B, 1)
        own = similarity.gather(1, context.positive[:, None]) < 0
        low = torch.cat([similarity < -self.m / 2, own], dim=1)
        return {"backward": row_share(low, torch.cat([selection.mask, there], dim=1))}
