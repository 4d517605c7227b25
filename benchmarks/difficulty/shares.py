"""Spread of the negatives' gradient: shares of the hardest, Gini, weight by rank.

Everything has static shapes and never waits for the device.

Source: the share of the hardest x % is the question of Cai et al. 2020, Are all negatives created
equal in contrastive instance discrimination? https://arxiv.org/abs/2010.06682 Measuring it by the
objective's derivatives (`nsbench.benchmarks.difficulty.gradient`) is ours.
"""

from itertools import pairwise

import torch
from torch import Tensor

from nsbench.benchmarks.difficulty.constants import constant

HARDEST = (0.1, 1.0, 5.0, 10.0, 50.0)
"""Percent of the chosen negatives, hardest first, whose share of the gradient is logged."""
SAME_EDGES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Edges of the bins by which the share of same meanings is logged, 0 = hardest."""
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
    for every x and n. Below one whole negative (x n < 1) it is only a part
    of the hardest one's weight.

    Args:
        weights: ``(B, N)`` shares of the chosen in the gradient, 0 elsewhere.
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
    percents = constant(HARDEST, weights, torch.float64)
    wanted = count * percents / 100  # (B, X)
    whole = wanted.floor().long()
    shares = sums.gather(1, whole) + (wanted - whole) * ranked.gather(1, whole)
    return shares.clamp(max=1.0).T


def gini(weights: Tensor, mask: Tensor) -> Tensor:
    """``(B,)`` Gini coefficient of the weights over the chosen.

    0 where all weigh the same, (n - 1) / n where one of n carries everything; 0 without a choice.
    Of the weights w(1) >= ... >= w(n), which sum to 1, it is (n + 1 - 2 sum r w(r)) / n.

    Args:
        weights: ``(B, N)`` shares of the chosen in the gradient, 0 elsewhere.
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
        weights: ``(B, N)`` shares of the chosen in the gradient, 0 elsewhere.
        percentile: ``(B, N)`` place among the eligible candidates, 0 = hardest, 1 = easiest.
    """
    edges = constant(EDGES[1:-1], percentile)
    place = torch.bucketize(percentile, edges, right=True)  # (B, N) in 0 ... len(EDGES) - 2
    out = torch.zeros(len(weights), len(EDGES) - 1, dtype=torch.float64, device=weights.device)
    return out.scatter_add_(1, place, weights.double()).T


def same_names() -> list[str]:
    """``same_meaning_0_0.1 ... same_meaning_50_100``: bins of the full ranking in percent."""
    return [f"same_meaning_{100 * a:g}_{100 * b:g}" for a, b in pairwise(SAME_EDGES)]


def same_by_percentile(same: Tensor, eligible: Tensor, percentile: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of candidates that mean the same as their anchor, by place in the full ranking.

    Args:
        same: ``(B, N)`` bool, True where anchor and candidate are known to mean the same.
        eligible: ``(B, N)`` bool, what may be chosen.
        percentile: ``(B, N)`` place among the eligible candidates, 0 = hardest, 1 = easiest.

    Returns:
        Share of the same in each bin of `SAME_EDGES`, NaN where the bin holds no candidate, and
        the number of candidates in it, both ``(len(SAME_EDGES) - 1,)``.
    """
    edges = constant(SAME_EDGES[1:-1], percentile)
    place = torch.bucketize(percentile, edges, right=True).flatten()
    zero = torch.zeros(len(SAME_EDGES) - 1, dtype=torch.float64, device=percentile.device)
    count = zero.scatter_add(0, place, eligible.flatten().double())
    hits = zero.scatter_add(0, place, (same & eligible).flatten().double())
    return hits / count, count


def skewness(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Skewness E (v - mean)^3 / sd^3 of the values under a mask, 0-dim; 0 where all are equal.

    Of k-occurrences it is the usual measure of hubness (Radovanovic et al. 2010, Hubs in space,
    https://jmlr.org/papers/v11/radovanovic10a.html).

    Args:
        values: ``(n,)``.
        mask: ``(n,)`` bool; all without it.
    """
    weight = torch.ones_like(values) if mask is None else mask.to(values.dtype)
    count = weight.sum().clamp(min=1)
    apart = (values - (values * weight).sum() / count) * weight
    spread = (apart.square().sum() / count).sqrt()
    skew = (apart**3).sum() / count / spread.clamp(min=1e-12) ** 3
    return torch.where(spread > 1e-9, skew, 0.0)
