"""A contrast that trusts its positives less: bounded where they are wrong.

Source: Chuang et al. 2022, Robust Contrastive Learning against Noisy Views (RINCE).
https://arxiv.org/abs/2201.04309 Towards q = 0 it is InfoNCE plus log lam; at q = 1 and lam = 1 it
is the plain sum of exp(s / temperature) over the negatives. Both powers are taken less 1, which
changes the loss by 0 and keeps its digits at a small q.
"""

import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, without_empty_rows
from nsbench.benchmarks.objectives._contrast import log_negatives
from nsbench.samplers import Interval, Selection, SimilarityContext

_STEEPEST = 60.0  # of q / temperature: e to its power is as much as float32 should carry


@register("rince")
class Rince:
    """-e^(q s_pos / t) / q + (lam * (e^(s_pos / t) + sum of e^(s / t)))^q / q.

    Args:
        temperature: t, in (0, 10]; q / temperature is at most 60.
        q: From 0 excluded, nearly InfoNCE, to 1, robust.
        lam: Weight of the sum, in (0, 1].
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.1
    q: Annotated[float, Interval("(0, 1]")] = 0.1
    lam: Annotated[float, Interval("(0, 1]")] = 0.01
    views: ClassVar[str] = "both"
    test_configs: ClassVar = ({"q": 1.0, "lam": 1.0, "temperature": 0.5}, {"q": 0.6})

    def __post_init__(self) -> None:
        if self.q / self.temperature > _STEEPEST:
            raise ValueError(
                f"rince: q / temperature is {self.q / self.temperature:g} (q {self.q:g}, "
                f"temperature {self.temperature:g}); it must be at most {_STEEPEST:g}"
            )

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        logits = similarity.float() / self.temperature  # (B, N)
        own = logits.gather(1, context.positive[:, None])  # (B, 1)
        parts, pulled = [own, log_negatives(logits, selection)[:, None]], self._power(own[:, 0])
        if selection.attract is not None:
            parts.append(logits.masked_fill(~selection.attract, -torch.inf))
            pulled = pulled + (self._power(logits) * selection.attract).sum(dim=1)
            pulled = pulled / (1 + selection.attract.sum(dim=1))
        total = torch.cat(parts, dim=1).logsumexp(dim=1) + math.log(self.lam)
        return without_empty_rows(self._power(total) - pulled, selection)

    def _power(self, log: Tensor) -> Tensor:
        """(x^q - 1) / q of x given by its logarithm."""
        return torch.expm1(self.q * log) / self.q
