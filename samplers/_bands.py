"""Percentile boundaries of a ranking, in whole numbers so that no float error moves one."""

import torch
from torch import Tensor

from nsbench.samplers._types import SimilarityContext

_MILLION = 10**6


def boundary(fraction: float | Tensor, eligible: Tensor) -> Tensor:
    """``ceil(fraction * eligible)`` with the fraction read to a millionth.

    0.07 * 100 is 7.000000000000001 in floats; counted in whole millionths it is 7.

    Args:
        fraction: In [0, 1], a number or a 0-dim tensor.
        eligible: ``(B, 1)`` int64.

    Returns:
        ``(B, 1)`` int64.
    """
    if isinstance(fraction, Tensor):
        parts: int | Tensor = torch.round(fraction.float() * _MILLION).to(torch.int64)
    else:
        parts = round(fraction * _MILLION)
    return (parts * eligible + (_MILLION - 1)) // _MILLION


def in_band(context: SimilarityContext, low: float | Tensor, high: float | Tensor) -> Tensor:
    """``(B, N)`` bool, True for eligible candidates whose rank lies in [low, high) of the row."""
    rank, eligible = context.ranks(), context.eligible
    inside = (rank >= boundary(low, eligible)) & (rank < boundary(high, eligible))
    return context.negative_mask & inside
