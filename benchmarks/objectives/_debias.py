"""Shared by the debiased losses: the corrected estimate of the negatives, and its floor.

All in logarithms, so that exp(1 / temperature) never overflows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nsbench.benchmarks.objectives._softmax import row_share, without_empty_rows
from nsbench.samplers import Selection, SimilarityContext


@dataclass(frozen=True, eq=False)
class Terms:
    """Logits of one batch, with empty rows made harmless.

    Attributes:
        positive: ``(B, 1)`` s / temperature of the positive.
        positives: ``(B, 1 + N)`` the same with attracted candidates, -inf elsewhere.
        negative: ``(B, N)`` s / temperature of the chosen, -inf elsewhere.
        log_weight: ``(B, N)`` of the chosen, -inf elsewhere.
        log_count: ``(B, 1)`` log of their total weight N.
        floor: ``(B, 1)`` log of N * exp(-1 / temperature).
    """

    positive: Tensor
    positives: Tensor
    negative: Tensor
    log_weight: Tensor
    log_count: Tensor
    floor: Tensor


def terms(
    similarity: Tensor, context: SimilarityContext, selection: Selection, temperature: float
) -> Terms:
    """Collect the logits; a row without negatives counts all candidates, to stay finite."""
    logits = similarity.float() / temperature  # (B, N)
    mask = selection.mask | ~selection.mask.any(dim=1, keepdim=True)
    log_weight = torch.zeros_like(logits)
    if selection.log_weight is not None:
        log_weight = selection.log_weight.float()
    log_weight = log_weight.masked_fill(~mask, -torch.inf)
    positive = logits.gather(1, context.positive[:, None])  # (B, 1)
    positives = positive
    if selection.attract is not None:
        more = logits.masked_fill(~selection.attract, -torch.inf)
        positives = torch.cat([positive, more], dim=1)
    log_count = log_weight.logsumexp(dim=1, keepdim=True)  # (B, 1)
    return Terms(
        positive=positive,
        positives=positives,
        negative=logits.masked_fill(~mask, -torch.inf),
        log_weight=log_weight,
        log_count=log_count,
        floor=log_count - 1 / temperature,
    )


def debiased(t: Terms, log_reweighted: Tensor, prior: float | Tensor) -> tuple[Tensor, Tensor]:
    """The loss for a given estimate of the negatives, and where the floor holds.

    Ng = max((R - prior * N * pos) / (1 - prior), N * exp(-1 / temperature)), and the loss is
    -log pos / (pos + Ng), averaged over the positives if there are several.

    Args:
        t: Logits.
        log_reweighted: ``(B, 1)`` log R, the (re)weighted sum over the negatives.
        prior: Probability that a negative is a false one, in [0, 1); or one per row, ``(B, 1)``.

    Returns:
        ``(B,)`` losses and ``(B,)`` bool, True where the estimate lies at its floor.
    """
    counts = (t.positives > -torch.inf).sum(dim=1, keepdim=True)  # (B, 1)
    log_mean = t.positives.logsumexp(dim=1, keepdim=True) - torch.log(counts)  # (B, 1)
    shift = torch.maximum(log_reweighted, log_mean).detach()
    raw = torch.exp(log_reweighted - shift)
    raw = (raw - prior * torch.exp(t.log_count + log_mean - shift)) / (1 - prior)
    clamped = raw <= torch.exp(t.floor - shift)  # (B, 1)
    safe = torch.where(clamped, torch.ones_like(raw), raw)
    log_negatives = torch.where(clamped, t.floor, torch.log(safe) + shift)  # (B, 1)
    each = torch.logaddexp(t.positives, log_negatives) - t.positives
    each = each.masked_fill(t.positives == -torch.inf, 0)
    return each.sum(dim=1) / counts[:, 0], clamped[:, 0]


class DebiasedEstimate:
    """Base of objectives whose ``estimate`` gives what `debiased` does."""

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        loss, _ = self.estimate(similarity, context, selection)
        return without_empty_rows(loss, selection)

    def diagnostics(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> dict[str, Tensor]:
        """``clamp_rate``: share of the anchors whose estimate lies at its floor."""
        _, clamped = self.estimate(similarity, context, selection)
        return {"clamp_rate": row_share(clamped, selection.mask.any(dim=1))}

    def estimate(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError
