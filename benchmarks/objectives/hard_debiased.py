"""Debiased contrast in which harder negatives weigh more.

Source: Robinson et al. 2021, Contrastive Learning with Hard Negative Samples (HCL).
https://arxiv.org/abs/2010.04592 ``official`` is the released code, where the importance
weights carry gradient: easy negatives are then attracted. ``paper`` detaches them. As with
`debiased`, watch ``clamp_rate`` at small temperatures.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._debias import DebiasedEstimate, debiased, terms
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext


@register("hard_debiased")
class HardDebiased(DebiasedEstimate):
    """DCL with negatives weighted by exp(beta * s / temperature), their total kept.

    Args:
        temperature: Divides the cosine, in (0, 10].
        prior: Probability that a negative is a false one (tau plus in the paper), in [0, 1).
        beta: Concentration of the weights, in [0, 100]; it multiplies s / temperature.
        variant: ``official``: the weights carry gradient; ``paper``: they do not.
        anneal: ``none``; ``down``: beta falls to 0 in nine equal steps over the training;
            ``official``: as the released code, which holds beta for two ninths of the training and
            then takes 7/8, 6/8, ..., 1/8 of it, a ninth each.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.5
    prior: Annotated[float, Interval("[0, 1)")] = 0.1
    beta: Annotated[float, Interval("[0, 100]")] = 1.0
    variant: Annotated[str, Choice("paper", "official")] = "official"
    anneal: Annotated[str, Choice("none", "down", "official")] = "none"
    views: ClassVar[str] = "both"
    test_configs: ClassVar = (
        {"variant": "paper"},
        {"prior": 0.0, "temperature": 0.1, "beta": 0.5, "anneal": "down"},
        {"temperature": 0.02},
        {"anneal": "official"},
    )

    def estimate(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> tuple[Tensor, Tensor]:
        t = terms(similarity, context, selection, self.temperature)
        beta: float | Tensor = self.beta
        if self.anneal == "down":
            beta = self.beta * (1 - torch.floor(10 * context.progress).clamp(max=9) / 9)
        elif self.anneal == "official":
            beta = self.beta * (1 - (torch.floor(9 * context.progress) - 1).clamp(0, 7) / 8)
        chosen = t.negative > -torch.inf
        tilt = torch.where(chosen, beta * t.negative.masked_fill(~chosen, 0), t.negative)
        weight = (tilt + t.log_weight).log_softmax(dim=1)  # (B, N)
        if self.variant == "paper":
            weight = weight.detach()
        hard = (t.negative + weight).logsumexp(dim=1, keepdim=True)  # (B, 1)
        return debiased(t, t.log_count + hard, self.prior)
