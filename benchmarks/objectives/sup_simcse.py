"""InfoNCE over all positives and all given hard negatives of the batch.

Source: Gao et al. 2021, SimCSE, its supervised objective; the weight of an anchor's own hard
negative is that of the released code. https://arxiv.org/abs/2104.08821
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives.info_nce import contrast
from nsbench.samplers import TEMPERATURE, Interval, Selection, SimilarityContext


@register("sup_simcse")
class SupSimCSE:
    """-log softmax of the positive among B positives and every row's hard negatives.

    Args:
        temperature: Divides the cosine, in (0, 10].
        hard_weight: Log of the weight of an anchor's own hard negatives, in [-100, 100]; 0
            weighs them as all others, -100 removes them.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = TEMPERATURE
    hard_weight: Annotated[float, Interval("[-100, 100]")] = 0.0
    views: ClassVar[str] = "one"
    balanced: ClassVar[bool] = True
    test_configs: ClassVar = ({"hard_weight": 1.0},)

    @property
    def needs(self) -> frozenset[str]:
        """``own_negative``, if it is weighted."""
        return frozenset({"own_negative"} if self.hard_weight else ())

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        if self.hard_weight:
            own = context.require("own_negative")
            log = torch.zeros_like(similarity)
            if selection.log_weight is not None:
                log = selection.log_weight.to(similarity.dtype)
            weight = log + self.hard_weight * own
            selection = Selection(selection.mask, weight, selection.attract)
        return contrast(similarity, context, selection, self.temperature)
