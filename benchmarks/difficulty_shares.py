"""How unevenly the negatives' gradient is spread: shares of the hardest, Gini, weight by rank.

Everything has static shapes and never waits for the device.

Source: the share of the hardest x % is the question of Cai et al. 2020, Are all negatives created
equal in contrastive instance discrimination? https://arxiv.org/abs/2010.06682 Measuring it by the
softmax weights of the loss is ours.
"""

from itertools import pairwise

import torch
from torch import Tensor

HARDEST = (0.1, 1.0, 5.0, 10.0, 50.0)
"""Percent of the chosen negatives, hardest first, whose share of the gradient is logged."""
EDGES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Edges of the coarse percentile bins, as shares of the full ranking, 0 = hardest."""


def share_name(percent: float) -> str:
    """``gradient_share_5`` for 5, ``gradient_share_0.1`` for 0.1."""
    return f"gradient_share_{percent:g}"


def bin_names() -> list[str]:
    """``softmax_weight_0_1 ... softmax_weight_50_100``: the coarse percentile bins in percent."""
    return [f"softmax_weight_{100 * low:g}_{100 * high:g}" for low, high in pairwise(EDGES)]


def gradient_shares(weights: Tensor, similarity: Tensor, mask: Tensor) -> Tensor:
    """Share of each row's negative gradient that its hardest negatives carry.

    With weights q in order of similarity, G(x) = sum of q over the first x n of n chosen. Where
    x n is no whole number, the next negative counts in part, so that equal weights give G(x) = x
    for every x and n. Below one whole negative (x n < 1) it says only what part of the hardest
    one's weight falls to it: nothing that could be told apart from the hardest one.

    Args:
        weights: ``(B, N)`` softmax weights over the chosen, 0 elsewhere.
        similarity: ``(B, N)`` cosine.
        mask: ``(B, N)`` bool, what was chosen.

    Returns:
        ``(len(HARDEST), B)`` in [0, 1]; 0 for a row without a choice.
    """
    order = similarity.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True)
    ranked = weights.gather(1, order).double()  # (B, N), hardest first
    sums = torch.nn.functional.pad(ranked.cumsum(1), (1, 0))  # (B, N + 1)
    ranked = torch.nn.functional.pad(ranked, (0, 1))
    count = mask.sum(dim=1, keepdim=True).double()  # (B, 1)
    percents = torch.tensor(HARDEST, dtype=torch.float64, device=weights.device)
    wanted = count * percents / 100  # (B, X)
    whole = wanted.floor().long()
    shares = sums.gather(1, whole) + (wanted - whole) * ranked.gather(1, whole)
    return shares.clamp(max=1.0).T


def gini(weights: Tensor, mask: Tensor) -> Tensor:
    """``(B,)`` Gini coefficient of the weights over the chosen.

    0 where all weigh the same, (n - 1) / n where one of n carries everything; 0 without a choice.
    Of the weights w(1) >= ... >= w(n), which sum to 1, it is (n + 1 - 2 sum r w(r)) / n.

    Args:
        weights: ``(B, N)`` softmax weights over the chosen, 0 elsewhere.
        mask: ``(B, N)`` bool, what was chosen.
    """
    ranked = weights.double().sort(dim=1, descending=True).values
    place = torch.arange(1, weights.shape[1] + 1, device=weights.device, dtype=ranked.dtype)
    count = mask.sum(dim=1).double()
    value = (count + 1 - 2 * (ranked * place).sum(dim=1)) / count.clamp(min=1)
    return torch.where(count > 0, value.clamp(min=0.0), 0.0)


def weight_by_percentile(weights: Tensor, percentile: Tensor) -> Tensor:
    """``(len(EDGES) - 1, B)`` softmax weight in each coarse bin of the full ranking.

    Args:
        weights: ``(B, N)`` softmax weights over the chosen, 0 elsewhere.
        percentile: ``(B, N)`` place among the eligible candidates, 0 = hardest, 1 = easiest.
    """
    edges = torch.tensor(EDGES[1:-1], dtype=percentile.dtype, device=percentile.device)
    place = torch.bucketize(percentile, edges, right=True)  # (B, N) in 0 ... len(EDGES) - 2
    out = torch.zeros(len(weights), len(EDGES) - 1, dtype=torch.float64, device=weights.device)
    return out.scatter_add_(1, place, weights.double()).T
