"""Shared by the softmax losses: logits of the chosen negatives, and the guard for empty rows."""

import torch
from torch import Tensor

from nsbench.samplers import Selection


def negative_logits(similarity: Tensor, selection: Selection, temperature: float) -> Tensor:
    """``(B, N)`` logits s / temperature + log weight, -inf where the candidate is no negative."""
    logits = similarity / temperature
    if selection.log_weight is not None:
        logits = logits + selection.log_weight
    return logits.masked_fill(~selection.mask, -torch.inf)


def without_empty_rows(loss: Tensor, selection: Selection) -> Tensor:
    """``(B,)`` loss with 0, and no gradient, where the row has no negative left.

    The loss itself must be finite there; ``torch.where`` lets no gradient through.
    """
    return torch.where(selection.mask.any(dim=1), loss, torch.zeros_like(loss))


def row_share(flags: Tensor, weight: Tensor) -> Tensor:
    """0-dim weighted share of ``flags``, 0 where nothing has weight.

    Args:
        flags: Bool, any shape.
        weight: Same shape, >= 0.
    """
    weight = weight.to(torch.float32)
    return (flags * weight).sum() / weight.sum().clamp(min=1e-12)
