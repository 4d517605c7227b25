"""Hinge on the gap between positive and negative, pair by pair.

Source: Schroff et al. 2015, FaceNet. https://arxiv.org/abs/1503.03832 The distance
here is the cosine distance d = 1 - s. FaceNet's is the squared Euclidean one, twice as large on
the unit sphere: its margin of 0.2 is 0.1 here.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, row_share, without_empty_rows
from nsbench.benchmarks.objectives._hinge import positive_similarity, weights
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext


@register("triplet")
class Triplet:
    """relu(margin + s_neg - s_pos) over the chosen negatives.

    Args:
        margin: Wanted gap in cosine units, in (0, 2].
        reduce: How an anchor's negatives become one number: ``mean`` over the chosen (weighted
            by ``log_weight``), or mean over the ``active``, those whose hinge is not at rest.
    """

    margin: Annotated[float, Interval("(0, 2]")] = 0.1
    reduce: Annotated[str, Choice("mean", "active")] = "mean"
    balanced: ClassVar[bool] = True
    test_configs: ClassVar = ({"reduce": "active"}, {"margin": 2.0})

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        hinge = self._hinge(similarity, context, selection)  # (B, N)
        share = weights(similarity, selection)  # (B, N)
        if self.reduce == "active":
            share = share * (hinge > 0)
            total = share.sum(dim=1, keepdim=True)  # (B, 1)
            share = share / torch.where(total > 0, total, torch.ones_like(total))
        return without_empty_rows((share * hinge).sum(dim=1), selection)

    def diagnostics(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> dict[str, Tensor]:
        """``hinge_active``: weighted share of the chosen pairs that violate the margin."""
        active = self._hinge(similarity, context, selection) > 0
        return {"hinge_active": row_share(active, weights(similarity, selection))}

    def _hinge(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        s_pos = positive_similarity(similarity, context, selection)[:, None]  # (B, 1)
        return torch.relu(self.margin + similarity - s_pos)
