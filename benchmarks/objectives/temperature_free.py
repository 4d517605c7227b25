"""InfoNCE without a temperature: the cosine is stretched onto the whole line.

Source: Kim and Kim 2025, Temperature-Free Loss Function for Contrastive Learning.
https://arxiv.org/abs/2501.17683 The logit is 2 artanh(s) = log((1 + s) / (1 - s)), infinite at the
ends, so that the cosine is clipped before. What lies beyond gets no gradient.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives.info_nce import contrast
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("temperature_free")
class TemperatureFree:
    """InfoNCE with the logits log((1 + s) / (1 - s)).

    Args:
        clip: Distance from -1 and 1 at which the cosine is clipped, in [1e-6, 0.1].
    """

    clip: Annotated[float, Interval("[1e-06, 0.1]")] = 1e-4
    views: ClassVar[str] = "one"
    test_configs: ClassVar = ({"clip": 0.01},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        bounded = similarity.float().clamp(self.clip - 1, 1 - self.clip)
        return contrast(2 * torch.atanh(bounded), context, selection, 1.0)
