"""A contrast whose denominator is a moving average over an anchor's visits, not one batch's.

Source: Yuan et al. 2022, Provable Stochastic Optimization for Global Contrastive Learning: Small
Batch Does Not Harm Performance (SogCLR). https://arxiv.org/abs/2202.12387 Every row keeps u, an
average of the mean of exp(s / temperature) over its negatives; a negative's weight in the gradient
is exp(s / temperature) / u. A small batch is then an unbiased look at all candidates, in the long
run. The released code keeps one u for the two views of a row, their sum; here each view has its
own. Its loss is ``official``: the gradient of the temperature times the loss.
"""

import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, without_empty_rows
from nsbench.benchmarks.objectives._contrast import log_negatives
from nsbench.benchmarks.objectives._hinge import positive_similarity
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext


@register("global_contrast")
class GlobalContrast:
    """-s_pos / temperature + log u, with the gradient of a denominator that remembers (SogCLR).

    u is (1 - gamma) times the row's last value plus gamma times this batch's mean of
    exp(s / temperature). With gamma 1 the gradient is that of `decoupled`.

    Args:
        temperature: Divides the cosine, in (0, 10].
        gamma: Share of the batch in the average, in (0, 1].
        variant: ``paper``, or ``official``, the same times the temperature.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.1
    gamma: Annotated[float, Interval("(0, 1]")] = 0.9
    variant: Annotated[str, Choice("paper", "official")] = "paper"
    views: ClassVar[str] = "both"
    needs: ClassVar[frozenset[str]] = frozenset({"memory"})
    forgotten: ClassVar[float] = -math.inf
    """Logarithm of u before the first visit."""
    test_configs: ClassVar = (
        {"gamma": 1.0},
        {"gamma": 0.5, "temperature": 0.05, "variant": "official"},
    )

    def remember(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """``(B,)`` log u after this batch; as before for an anchor without a negative."""
        before = context.require("memory")
        now = self._log_mean(similarity.detach().float(), selection) + math.log(self.gamma)
        if self.gamma < 1:
            now = torch.logaddexp(before + math.log(1 - self.gamma), now)
        return torch.where(selection.mask.any(dim=1), now, before)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        similarity = similarity.float()
        log_u = self.remember(similarity, context, selection)
        log_u = torch.where(selection.mask.any(dim=1), log_u, torch.zeros_like(log_u))
        mean = torch.exp(
            self._log_mean(similarity, selection) - log_u
        )  # (B,), detached it is g / u
        pulled = positive_similarity(similarity, context, selection) / self.temperature
        loss = log_u + (mean - mean.detach()) - pulled
        if self.variant == "official":
            loss = loss * self.temperature
        return without_empty_rows(loss, selection)

    def _log_mean(self, similarity: Tensor, selection: Selection) -> Tensor:
        """``(B,)`` log of the weighted mean of exp(s / temperature) over the negatives."""
        logits = similarity / self.temperature
        return log_negatives(logits, selection) - log_negatives(torch.zeros_like(logits), selection)
