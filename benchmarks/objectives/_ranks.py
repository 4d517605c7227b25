"""Losses of pairs in the wrong order: of two graded pairs, the higher one is to score higher."""

import torch
from torch import Tensor

from nsbench.samplers import Selection


def wrong_order(score: Tensor, grade: Tensor, selection: Selection, scale: float) -> Tensor:
    """``(B,)`` log(1 + sum over pairs i above j of exp(scale * (score_j - score_i))), for all.

    The sum is over the whole batch, so that every anchor is given the same loss; anchors without a
    negative do not count, and are given 0.

    Args:
        score: ``(B,)`` of every anchor and its positive.
        grade: ``(B,)`` what the data say of them.
        selection: Says which anchors count.
        scale: Multiplies differences of scores.
    """
    counts = selection.mask.any(dim=1)  # (B,)
    above = (grade[:, None] > grade[None, :]) & counts[:, None] & counts[None, :]  # i above j
    wrong = scale * (score[None, :] - score[:, None])  # (B, B) score_j - score_i
    wrong = wrong.masked_fill(~above, -torch.inf).flatten()
    loss = torch.cat([wrong, wrong.new_zeros(1)]).logsumexp(dim=0)
    return torch.where(counts, loss, torch.zeros_like(loss))
