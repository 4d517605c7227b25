"""Losses of one contrast per anchor: its logit, and the loss it gives in a softmax."""

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.objectives._hinge import positive_similarity
from nsbench.benchmarks.objectives._softmax import without_empty_rows
from nsbench.benchmarks.objectives.info_nce import contrast
from nsbench.samplers import Selection, SimilarityContext


def log_negatives(logits: Tensor, selection: Selection) -> Tensor:
    """``(B,)`` log of the weighted sum of exp(logit) over the chosen negatives.

    A row without any counts all candidates, to stay finite; mask its loss.
    """
    if selection.log_weight is not None:
        weighted = logits + selection.log_weight.float()
        empty = ~selection.mask.any(dim=1, keepdim=True)  # (B, 1)
        logits = torch.where(empty, logits, weighted)
    counted = selection.mask | ~selection.mask.any(dim=1, keepdim=True)
    return logits.masked_fill(~counted, -torch.inf).logsumexp(dim=1)


def gap(
    similarity: Tensor,
    context: SimilarityContext,
    selection: Selection,
    temperature: float | Tensor,
) -> Tensor:
    """``(B,)`` log of the negatives' sum less the positive's logit; its softplus is InfoNCE.

    Of several positives the mean logit counts.
    """
    similarity = similarity.float()
    pulled = positive_similarity(similarity, context, selection) / temperature
    return log_negatives(similarity / temperature, selection) - pulled


def surprise(
    similarity: Tensor,
    context: SimilarityContext,
    selection: Selection,
    temperature: float | Tensor,
) -> Tensor:
    """``(B,)`` InfoNCE, -log p of the positive, exact also where p is nearly 1.

    Several positives are averaged as in `info_nce`; p is then their geometric mean.
    """
    if selection.attract is not None:
        return contrast(similarity.float() / temperature, context, selection, 1.0)
    loss = functional.softplus(gap(similarity, context, selection, temperature))
    return without_empty_rows(loss, selection)
