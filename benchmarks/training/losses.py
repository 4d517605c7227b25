"""The loss of each anchor of a batch, by an objective over the sampler's selection."""

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.contrast.context import Contrast
from nsbench.benchmarks.objectives._embedded import Embedded, losses_of
from nsbench.samplers import Objective, Selection, SimilarityContext


def embedded_of(
    contrast: Contrast, live: Tensor, views: tuple[Tensor, Tensor], made: Tensor | None
) -> Embedded:
    """Return the batch as embeddings, for the objective.

    Args:
        contrast: Anchors and columns.
        live: ``(A, N + S)`` live similarity.
        views: ``(R, d)`` each.
        made: ``(A, S, d)`` candidates that the sampler synthesised.
    """
    if made is not None:
        made = functional.normalize(made.detach(), dim=-1)
    return Embedded(
        contrast.anchors,
        contrast.columns,
        views,
        live,
        made,
        positives=contrast.positives,
        of_positive=contrast.of_positive,
    )


def row_losses(
    objective: Objective, embedded: Embedded, context: SimilarityContext, selection: Selection
) -> Tensor:
    """``(B,)`` loss per anchor, averaged over the levels of a levelled selection."""
    losses = [losses_of(objective, embedded, context, part) for part in selection.parts()]
    return torch.stack(losses).mean(dim=0)
