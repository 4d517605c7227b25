"""No training, but one linear map in closed form: what any sampler has to beat.

Source: Bar-Hillel et al. 2005, Learning a Mahalanobis Metric from Equivalence Constraints: relevant
component analysis. https://www.jmlr.org/papers/v6/bar-hillel05a.html Directions in which an anchor
and its positive differ are shortened, by the inverse square root of the covariance of their
differences, which is shrunk towards a multiple of the identity.
"""

from typing import Annotated, ClassVar

import torch

from nsbench.samplers import Interval, Selection, SimilarityContext, register


@register("linear_projection")
class LinearProjection:
    """Take no step: map the embeddings once, so that pairs of the data come close.

    For encoders without position embeddings, whose table takes the map in; pairs whose two texts
    are equal do not count.

    Args:
        shrinkage: Share of the identity in the covariance, in (0, 1]; at 1 nothing changes.
    """

    shrinkage: Annotated[float, Interval("(0, 1]")] = 0.1
    trains: ClassVar[bool] = False
    fits: ClassVar[bool] = True
    may_empty: ClassVar[bool] = True

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=torch.zeros_like(context.negative_mask))
