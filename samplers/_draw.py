"""Weighted draws without replacement, without waiting for the device."""

import torch
from torch import Tensor

from nsbench.samplers._types import SimilarityContext


def draw(context: SimilarityContext, log_weight: Tensor, k: int | Tensor) -> Tensor:
    """Draw up to k eligible candidates per row, each draw in proportion to its weight.

    Gumbel top-k: adding independent Gumbel noise to log weights and keeping the k largest is
    sequential weighted sampling without replacement.

    Args:
        context: Eligibility and randomness.
        log_weight: ``(B, N)`` finite, or -inf for what must not be drawn; any scale per row.
        k: Draws per anchor.

    Returns:
        ``(B, N)`` bool.
    """
    noise = context.uniform().clamp(min=1e-20, max=1 - 1e-7)
    gumbel = -torch.log(-torch.log(noise))  # (B, N), in (-3.9, 16.2)
    possible = context.negative_mask & (log_weight > -torch.inf)
    among = context.replace(negative_mask=possible)
    return possible & (among.ranks(log_weight.float() + gumbel) < k)
