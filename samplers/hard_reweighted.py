"""All candidates, the harder ones with more weight.

Source: Robinson et al. 2021, Contrastive Learning with Hard Negative Samples (HCL): the importance
weights exp(beta s / temperature). https://arxiv.org/abs/2010.04592
With `info_nce` this is HCL without its debiasing (class prior 0) and with weights that carry no
gradient; the objective `hard_debiased` is the whole of HCL.
"""

from typing import Annotated, ClassVar

import torch

from nsbench.samplers import Interval, Selection, SimilarityContext, register


@register("hard_reweighted")
class HardReweighted:
    """Weigh every candidate with exp(beta * s / temperature), mean weight 1 in each row.

    Harder negatives gain what easier ones lose: the number of effective negatives falls, their
    total stays.

    Args:
        beta: Concentration, in [0, 100]; 0 weighs all alike. It multiplies s / temperature, so a
            small temperature wants a small beta.
    """

    beta: Annotated[float, Interval("[0, 100]")] = 1.0
    schedulable: ClassVar[frozenset[str]] = frozenset({"beta"})
    test_configs: ClassVar = ({"beta": 0.0}, {"beta": 0.2})

    def __call__(self, context: SimilarityContext) -> Selection:
        mask = context.negative_mask
        log = self.beta * context.similarity.float() / context.temperature  # (B, N)
        counted = mask | ~mask.any(dim=1, keepdim=True)  # (B, N), never an empty sum
        total = log.masked_fill(~counted, -torch.inf).logsumexp(dim=1, keepdim=True)  # (B, 1)
        count = counted.sum(dim=1, keepdim=True)
        return Selection(mask=mask, log_weight=log - total + torch.log(count))
