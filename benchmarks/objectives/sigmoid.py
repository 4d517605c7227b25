"""A yes-or-no question for every pair, each alone: no softmax.

Source: Zhai et al. 2023, Sigmoid Loss for Language Image Pre-Training (SigLIP), algorithm 1.
https://arxiv.org/abs/2303.15343 What pushes a negative depends on no other candidate. Scale and
bias start at 10 and -10 there and are learned; `learned` does that.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.objectives import register, without_empty_rows
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("sigmoid")
class Sigmoid:
    """softplus(-(s_pos / t + bias)) plus the sum of softplus(s / t + bias) over the negatives.

    Args:
        temperature: t, one over SigLIP's scale, in (0, 10].
        bias: Added to every logit, in [-100, 100].
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.1
    bias: Annotated[float, Interval("[-100, 100]")] = -10.0
    views: ClassVar[str] = "one"
    learnable: ClassVar[frozenset[str]] = frozenset({"temperature", "bias"})
    test_configs: ClassVar = ({"temperature": 0.05, "bias": 0.0},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        logits = similarity.float() / self.temperature + self.bias  # (B, N)
        loss = functional.softplus(-logits.gather(1, context.positive[:, None]))[:, 0]
        pushed = functional.softplus(logits)
        if selection.log_weight is not None:
            weight = selection.log_weight.float().masked_fill(~selection.mask, -torch.inf)
            pushed = pushed * torch.exp(weight)
        loss = loss + (pushed * selection.mask).sum(dim=1)
        if selection.attract is not None:
            loss = loss + (functional.softplus(-logits) * selection.attract).sum(dim=1)
        return without_empty_rows(loss, selection)
