"""Pull of the hardest negatives on an anchor: shares of the gradient as a vector, not a sum.

The gradient of the negatives with respect to a normalised anchor z_i, along the sphere, is
proportional to sum_j q_ij (z_j - s_ij z_i), where q_ij is the share of negative j in the
objective's dL/ds, with its sign. Pulls that point apart cancel, so the part of the hardest x % can
be longer than the whole.

Source: ours, for the question of Cai et al. 2020, Are all negatives created equal in contrastive
instance discrimination? https://arxiv.org/abs/2010.06682
"""

import torch
from torch import Tensor

from nsbench.benchmarks.contrast.context import Contrast
from nsbench.benchmarks.difficulty.constants import constant
from nsbench.benchmarks.difficulty.gradient import Push, by_row
from nsbench.benchmarks.difficulty.shares import HARDEST
from nsbench.benchmarks.difficulty.statistics import summary
from nsbench.samplers import Selection, SimilarityContext, places

ANCHORS = 64
PAIRS = 1 << 14  # a batch's first anchors are measured, at most so many pairs of them
LONGEST = 4.0  # quantiles of the shares are exact to this / 2048 below it


def vector_shares(
    weights: Tensor, similarity: Tensor, mask: Tensor, anchors: Tensor, columns: Tensor
) -> Tensor:
    """Length of the hardest negatives' pull over the length of all negatives' pull.

    Where x n is no whole number, the next negative counts in part, as in `gradient_shares`.

    Args:
        weights: ``(B, N)`` signed shares of the chosen in the gradient, 0 elsewhere.
        similarity: ``(B, N)`` cosine.
        mask: ``(B, N)`` bool, what was chosen.
        anchors: ``(B, d)`` normalised.
        columns: ``(N, d)`` normalised.

    Returns:
        ``(len(HARDEST), B)``, at least 0; NaN where all pulls together cancel or there is none.
    """
    order = similarity.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank = places(order)  # among the chosen, 0 = hardest
    percents = constant([*HARDEST, 100.0], weights)
    wanted = mask.sum(dim=1)[None, :, None] * percents[:, None, None] / 100  # (X + 1, B, 1)
    parts = weights * (wanted - rank).clamp(0, 1)  # (X + 1, B, N)
    along = (parts * similarity).sum(dim=2, keepdim=True)  # (X + 1, B, 1)
    pulls = parts @ columns - along * anchors  # (X + 1, B, d)
    length = pulls.norm(dim=2)
    whole = length[-1]
    return torch.where(whole > 1e-7, length[:-1] / whole, torch.nan)


def pull_statistics(
    context: SimilarityContext,
    selection: Selection,
    contrast: Contrast,
    push: Push | None = None,
) -> dict[str, Tensor]:
    """``{gradient_vector_share_x: (S,)}`` over a batch's first anchors; InfoNCE's without a push.

    Empty where the sampler synthesised candidates, since columns then differ by anchor, and where
    columns pull an anchor's positive.
    """
    if context.synthetic is not None or contrast.of_positive is not None:
        return {}
    push = push or Push.of(context, selection)
    few = max(1, min(ANCHORS, PAIRS // selection.mask.shape[-1], len(context.positive)))
    levels = 1 if selection.mask.dim() == 2 else len(selection.mask)
    context, selection = by_row(context, selection)

    def first(rows: Tensor) -> Tensor:
        """The first anchors of each level."""
        return rows.view(levels, len(rows) // levels, -1)[:, :few].flatten(0, 1)

    shares = vector_shares(
        first(push.signed),
        first(context.similarity).float(),
        first(selection.mask),
        contrast.anchors[:few].detach().float().repeat(levels, 1),
        contrast.columns.detach().float(),
    )
    return {
        f"gradient_vector_share_{percent:g}": summary(
            share.nan_to_num(), ~share.isnan(), 0, LONGEST
        )
        for percent, share in zip(HARDEST, shares, strict=True)
    }
