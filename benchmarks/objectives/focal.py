"""InfoNCE weighted by how far an anchor is from being solved.

Source: Zhao et al. 2025, KaLM-Embedding-V2, the focal-style reweighting of its contrastive loss,
with gamma 0.5. https://arxiv.org/abs/2506.20923 One family: with the weight detached, gamma 0 is
InfoNCE and gamma -1 has the gradient of `decoupled`. Whether KaLM detaches the weight is not
published; both are here. Lin et al. 2017, focal loss, do not. https://arxiv.org/abs/1708.02002
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._contrast import surprise
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext

_LEAST = 1e-30  # of 1 - p, whose power is taken


@register("focal")
class Focal:
    """-(1 - p)^gamma log p, p being the positive's share of the softmax.

    Args:
        temperature: Divides the cosine, in (0, 10].
        gamma: Above 0 easy anchors count less, below 0 more; in [-1, 10].
        weight: ``detached``: the weight carries no gradient; ``live``: it does.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.05
    gamma: Annotated[float, Interval("[-1, 10]")] = 0.5
    weight: Annotated[str, Choice("detached", "live")] = "detached"
    views: ClassVar[str] = "one"
    learnable: ClassVar[frozenset[str]] = frozenset({"temperature"})
    balanced: ClassVar[bool] = True
    test_configs: ClassVar = (
        {"weight": "live"},
        {"gamma": -1.0},
        {"gamma": -1.0, "weight": "live", "temperature": 0.02},
        {"gamma": 0.0},
        {"gamma": 2.0, "weight": "live"},
    )

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        loss = surprise(similarity, context, selection, self.temperature)
        # 1 - p; a row that is solved to the last bit has loss 0, and no gradient either way.
        rest = -torch.expm1(-(loss if self.weight == "live" else loss.detach()))
        return loss * torch.where(rest > _LEAST, rest, _LEAST).pow(self.gamma)
