"""Hinge against one deputy for all negatives.

Source: Wang et al. 2021, Solving Inefficiency of Self-supervised Representation Learning.
https://arxiv.org/abs/2104.08760 Distances are d = -2 s, as in its released code. ``official`` is
that code: gamma 2 and margin 100, which no embeddings on the sphere can reach, so that the loss is
linear: 100 - 4 s_pos + 2 s_deputy. The paper's body was not at hand: in ``paper`` the hinge, with
margin and gamma free, is our reading of its abstract.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, row_share, without_empty_rows
from nsbench.benchmarks.objectives._hinge import positive_similarity, weights
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext

OFFICIAL = (100.0, 2.0)  # margin and gamma of the released code


@register("truncated_triplet")
class TruncatedTriplet:
    """max(0, margin + gamma * d_pos - d_deputy), the deputy's distance a mean over the chosen.

    Args:
        variant: ``paper``: a hinge that can come to rest; ``official``: margin 100 and gamma 2.
        margin: In units of d = -2 s, in (0, 1000]; 1 is a gap of 0.5 in cosine. Read by
            ``paper`` only; above 2 + 2 * gamma the hinge never rests.
        gamma: Weight of the positive's distance, in (0, 10]; read by ``paper`` only.
    """

    variant: Annotated[str, Choice("paper", "official")] = "paper"
    margin: Annotated[float, Interval("(0, 1000]")] = 1.0
    gamma: Annotated[float, Interval("(0, 10]")] = 1.0
    test_configs: ClassVar = ({"variant": "official"}, {"margin": 6.0, "gamma": 2.0})

    @property
    def balanced(self) -> bool:
        """True if positive and deputy are pushed alike."""
        return self.variant == "paper" and self.gamma == 1

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        return without_empty_rows(self._hinge(similarity, context, selection), selection)

    def diagnostics(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> dict[str, Tensor]:
        """``hinge_active``: share of the anchors with a negative whose hinge is not at rest."""
        active = self._hinge(similarity, context, selection) > 0
        return {"hinge_active": row_share(active, selection.mask.any(dim=1))}

    def _hinge(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        margin, gamma = OFFICIAL if self.variant == "official" else (self.margin, self.gamma)
        s_pos = positive_similarity(similarity, context, selection)  # (B,)
        s_deputy = (weights(similarity, selection) * similarity).sum(dim=1)  # (B,)
        return torch.relu(margin - 2 * gamma * s_pos + 2 * s_deputy)
