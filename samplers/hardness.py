"""All candidates, the harder ones with more weight, and more weight in all.

Source: Lan et al. 2025, LLaVE: Large Language and Vision Embedding Models with Hardness-Weighted
Contrastive Learning, equation 5. https://arxiv.org/abs/2503.04812 On own hard negatives alone, with
alpha 5: Schechter Vera et al. 2025, EmbeddingGemma. https://arxiv.org/abs/2509.20354 Neither
divides alpha by the temperature, and the weights are not brought back to mean 1: up to one offset a
row, this is `hard_reweighted` with beta = alpha * temperature.
"""

from typing import Annotated, ClassVar

import torch

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("hardness")
class Hardness:
    """Add alpha * s, without gradient, to the logit of every candidate in scope.

    Args:
        alpha: Strength per unit of cosine, in [0, 100]; 0 weighs all alike. 9 in the LLaVE paper,
            0.5 in its code, 5 in EmbeddingGemma.
        scope: Which candidates are weighted: ``all``, an anchor's ``own`` given or mined
            negatives, or all others (``in_batch``).
    """

    alpha: Annotated[float, Interval("[0, 100]")] = 9.0
    scope: Annotated[str, Choice("in_batch", "own", "all")] = "all"
    schedulable: ClassVar[frozenset[str]] = frozenset({"alpha"})
    test_configs: ClassVar = ({"scope": "own", "alpha": 5.0}, {"scope": "in_batch"})

    @property
    def needs(self) -> frozenset[str]:
        """``own_negative``, where those count otherwise than the others."""
        return frozenset(() if self.scope == "all" else {"own_negative"})

    def __call__(self, context: SimilarityContext) -> Selection:
        log = self.alpha * context.similarity.float()  # (B, N)
        if self.scope != "all":
            own = context.require("own_negative")
            log = torch.where(own if self.scope == "own" else ~own, log, torch.zeros_like(log))
        return Selection(mask=context.negative_mask, log_weight=log)
