"""All candidates below one similarity, wherever the positive lies.

Source: the absolute threshold (TopK-Abs) of Moreira et al. 2024, NV-Retriever, used as a mask.
https://arxiv.org/abs/2407.15831 There a teacher's scores of mined passages are cut at 0.7. With
noisy positives every rule that leans on them masks true negatives; this one does not look.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("threshold_mask")
class ThresholdMask:
    """Drop the candidates whose similarity to the anchor exceeds a threshold.

    Args:
        threshold: Cosine in [-1, 1]; at 1 nothing is dropped.
        curated: ``exempt``: an anchor's own given or mined negatives are never dropped; ``mask``:
            the rule holds for them too.
    """

    threshold: Annotated[float, Interval("[-1, 1]")] = 0.7
    curated: Annotated[str, Choice("exempt", "mask")] = "exempt"
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"threshold"})
    needs: ClassVar[frozenset[str]] = frozenset({"own_negative"})
    test_configs: ClassVar = ({"threshold": 0.1, "curated": "mask"},)

    def __call__(self, context: SimilarityContext) -> Selection:
        own = context.require("own_negative")
        above = context.similarity > self.threshold
        if self.curated == "exempt":
            above = above & ~own
        return Selection(mask=context.negative_mask & ~above)

    def diagnostics(self, context: SimilarityContext) -> dict[str, Tensor]:
        """``own_masked``: share of the own negatives that the rule hits, exempt or not."""
        own = context.require("own_negative") & context.negative_mask
        hit = (own & (context.similarity > self.threshold)).sum(dtype=torch.float32)
        return {"own_masked": hit / own.sum().clamp(min=1)}
