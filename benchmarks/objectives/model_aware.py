"""InfoNCE whose temperature and weight follow how well the model aligns its positives.

Source: Huang et al. 2023, Model-Aware Contrastive Learning: Towards Escaping the Dilemmas (MACL).
https://arxiv.org/abs/2207.07874 An anchor's loss is divided by 1 - p, without gradient, p being the
positive's share of the softmax: the gradient is that of `decoupled`. ``official`` adds 1e-8 to
1 - p, as common implementations do; ``paper`` does not.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._contrast import surprise
from nsbench.benchmarks.objectives._hinge import positive_similarity
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext

_GUARD = {"official": 1e-8, "paper": 0.0}
_LEAST = 1e-30  # of 1 - p


@register("model_aware")
class ModelAware:
    """InfoNCE / (1 - p) at temperature * (1 + alpha * (mean similarity of the positives - base)).

    Args:
        temperature: Divides the cosine where the positives' mean similarity is ``base``, in
            (0, 10].
        alpha: How far the temperature follows the mean, in [0, 1); 0: not at all.
        base: Mean similarity at which nothing changes (A0 in the paper), in [0, 1).
        variant: ``official`` or ``paper``, see above.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.1
    alpha: Annotated[float, Interval("[0, 1)")] = 0.5
    base: Annotated[float, Interval("[0, 1)")] = 0.0
    variant: Annotated[str, Choice(*_GUARD)] = "official"
    views: ClassVar[str] = "both"
    balanced: ClassVar[bool] = True
    test_configs: ClassVar = (
        {"alpha": 0.0, "variant": "paper"},
        {"alpha": 0.9, "base": 0.1, "temperature": 0.05},
    )

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        similarity = similarity.float()
        loss = surprise(similarity, context, selection, self.at(similarity, context, selection))
        rest = -torch.expm1(-loss.detach()) + _GUARD[self.variant]  # 1 - p
        return loss / rest.clamp(min=_LEAST)

    def at(self, similarity: Tensor, context: SimilarityContext, selection: Selection) -> Tensor:
        """0-dim temperature for a batch, without gradient; at least 1 % of ``temperature``."""
        there = selection.mask.any(dim=1)  # (B,) rows without a negative do not count
        s_pos = positive_similarity(similarity, context, selection).detach()
        mean = (s_pos * there).sum() / there.sum().clamp(min=1)
        return self.temperature * (1 + self.alpha * (mean - self.base)).clamp(min=0.01)
