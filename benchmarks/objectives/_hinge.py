"""Shared by the hinge losses: weights over the chosen negatives and the pull of the positives."""

import torch
from torch import Tensor

from nsbench.samplers import Selection, SimilarityContext


def weights(similarity: Tensor, selection: Selection) -> Tensor:
    """``(B, N)`` shares of the chosen negatives, summing to 1 by row; 0 in a row without any.

    Equal shares, unless ``log_weight`` says otherwise.
    """
    log = torch.zeros_like(similarity)
    if selection.log_weight is not None:
        log = selection.log_weight.to(similarity.dtype)
    empty = ~selection.mask.any(dim=1, keepdim=True)  # (B, 1)
    share = log.masked_fill(~(selection.mask | empty), -torch.inf).softmax(dim=1)
    return share * selection.mask


def positive_similarity(
    similarity: Tensor, context: SimilarityContext, selection: Selection
) -> Tensor:
    """``(B,)`` live similarity of the positive, averaged with the attracted ones if there are."""
    own = similarity.gather(1, context.positive[:, None])[:, 0]  # (B,)
    if selection.attract is None:
        return own
    more = (similarity * selection.attract).sum(dim=1)
    return (own + more) / (1 + selection.attract.sum(dim=1))
