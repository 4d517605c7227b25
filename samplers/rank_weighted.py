"""All candidates, weighted by their rank: what a Bayesian holds them to be worth.

Source: Liu and Wang 2023, Bayesian Self-Supervised Contrastive Learning (BCL).
https://arxiv.org/abs/2301.11673 The empirical distribution of a row's similarities is turned into
the chance that a candidate is a true negative, and a hard one. ``official`` is the released code,
which adds 0.001 to two numbers so as not to divide by zero; ``paper`` needs no such guard here.
With the defaults, alpha 0.5 and beta 1, a candidate's weight is close to twice its share of
candidates that are no harder: linear in the rank, and blind to monotone changes of the similarity.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register

_GUARD = {"official": 1e-3, "paper": 0.0}
_LEAST = 1e-6  # of a weight, whose logarithm is taken


@register("rank_weighted")
class RankWeighted:
    """Weigh every candidate with the Bayesian importance of its rank (BCL).

    Args:
        alpha: How well the encoder tells negatives from positives (an AUC; the location
            parameter), in [0.5, 0.999].
        beta: How much more hard negatives are wanted (the concentration), in [0.5, 1].
        prior: Probability that a candidate is a false negative (tau plus), in [0, 0.999].
        variant: ``official`` or ``paper``, see above.
    """

    alpha: Annotated[float, Interval("[0.5, 0.999]")] = 0.5
    beta: Annotated[float, Interval("[0.5, 1]")] = 1.0
    prior: Annotated[float, Interval("[0, 0.999]")] = 0.1
    variant: Annotated[str, Choice(*_GUARD)] = "official"
    test_configs: ClassVar = (
        {"alpha": 0.9, "beta": 0.7},
        {"beta": 0.5, "variant": "paper"},
        {"alpha": 0.999, "beta": 1.0, "variant": "paper"},
    )

    def __call__(self, context: SimilarityContext) -> Selection:
        weight = self.weight(_share_no_harder(context))  # (B, N)
        return Selection(mask=context.negative_mask, log_weight=torch.log(weight.clamp(min=_LEAST)))

    def weight(self, share: Tensor) -> Tensor:
        """Weight of candidates from the share of their row that is no harder, in (0, 1]."""
        a, b, guard = self.alpha, self.beta, _GUARD[self.variant]
        slope = (1 - 2 * a) * (1 - 2 * self.prior) + guard
        base = 2 * (a * (1 - self.prior) + (1 - a) * self.prior)
        root = torch.sqrt((base**2 + 4 * slope * share).clamp(min=0))
        cdf = 2 * share / (base + root)  # the root of slope x^2 + base x = share, also at slope 0
        easy, hard = 2 * (1 - cdf), 2 * cdf
        true = a * easy + (1 - a) * hard
        false = (1 - a) * easy + a * hard
        wanted = a * (1 - b) * easy + (1 - a) * b * hard
        wanted = wanted / (a * (1 - b) + (1 - a) * b + guard)
        return wanted / (true * (1 - self.prior) + false * self.prior)


def _share_no_harder(context: SimilarityContext) -> Tensor:
    """``(B, N)`` share of a row's candidates that are at most as similar as this one."""
    score = context.similarity.float().masked_fill(~context.negative_mask, torch.inf)
    ascending = score.sort(dim=1).values
    below = torch.searchsorted(ascending, score.contiguous(), right=True)
    count = context.eligible.clamp(min=1)  # (B, 1)
    return (below / count).clamp(max=1)
