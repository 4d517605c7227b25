"""Any contrast, and a penalty on views that crowd together.

Source: Zhang et al. 2017, Learning Spread-out Local Feature Descriptors: global orthogonal
regularisation (GOR). https://arxiv.org/abs/1708.06320 On a sphere of d dimensions, independent
points have mean cosine 0 and mean squared cosine 1 / d; either moment is penalised above that.
Second moment alone, for anchors and positives: Schechter Vera et al. 2025, EmbeddingGemma.
https://arxiv.org/abs/2509.20354 ``hinge = "none"`` also rewards a second moment below 1 / d.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._embedded import Embedded, losses_of
from nsbench.benchmarks.objectives._inner import Wraps, inner_objective
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext


@register("spread_out")
class SpreadOut(Wraps):
    """An objective plus the moments of the cosines within view 1 and within view 2.

    Args:
        inner: The objective, ``name`` or ``name[parameter=value,...]``.
        first: Weight of the squared mean cosine, in [0, 100].
        second: Weight of the mean squared cosine above 1 / d, in [0, 100].
        over: ``mean`` or ``sum`` over the two views.
        hinge: ``relu``: a second moment below 1 / d costs nothing; ``none``: it is a gain.
    """

    inner: Annotated[str, inner_objective] = "info_nce"
    first: Annotated[float, Interval("[0, 100]")] = 1.0
    second: Annotated[float, Interval("[0, 100]")] = 1.0
    over: Annotated[str, Choice("mean", "sum")] = "mean"
    hinge: Annotated[str, Choice("relu", "none")] = "relu"
    test_configs: ClassVar = ({"inner": "nt_xent[temperature=0.2]", "over": "sum"},)

    def on_embeddings(
        self, embedded: Embedded, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """The inner losses, each with the same penalty added, regardless of its negatives."""
        parts = torch.stack([self.penalty(view) for view in embedded.views])
        penalty = parts.mean() if self.over == "mean" else parts.sum()
        return losses_of(self.wrapped, embedded, context, selection) + penalty

    def penalty(self, view: Tensor) -> Tensor:
        """0-dim penalty of ``(R, d)`` normalised embeddings; 0 for a single one."""
        rows, dimension = view.shape
        pairs = max(1, rows * (rows - 1))
        cosine = view @ view.T
        cosine = cosine - torch.diag_embed(cosine.diagonal())
        first = (cosine.sum() / pairs).square()
        second = cosine.square().sum() / pairs - 1 / dimension
        if self.hinge == "relu" or rows == 1:
            second = torch.relu(second)
        return self.first * first + self.second * second
