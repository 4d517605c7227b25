"""Softmax cross-entropy of the positive against the chosen negatives.

Source: van den Oord et al. 2018, Representation Learning with Contrastive Predictive Coding,
equation 4; one direction, as in Gao et al. 2021, SimCSE, equation 1.
https://arxiv.org/abs/1807.03748 https://arxiv.org/abs/2104.08821
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import negative_logits, register, without_empty_rows
from nsbench.samplers import TEMPERATURE, Interval, Selection, SimilarityContext


def contrast(
    similarity: Tensor, context: SimilarityContext, selection: Selection, temperature: float
) -> Tensor:
    """``(B,)`` InfoNCE with extra positives averaged in the numerator, as in SupCon's L_out.

    Source of the attraction form: Khosla et al. 2020, equation 2; without ``attract`` it is plain
    InfoNCE.
    """
    positive = similarity.gather(1, context.positive[:, None]) / temperature  # (B, 1)
    logits = negative_logits(similarity, selection, temperature)  # (B, N)
    if selection.attract is None:
        loss = torch.logsumexp(torch.cat([positive, logits], dim=1), dim=1) - positive[:, 0]
        return without_empty_rows(loss, selection)
    attracted = (similarity / temperature).masked_fill(~selection.attract, -torch.inf)
    total = torch.logsumexp(torch.cat([positive, attracted, logits], dim=1), dim=1)
    pulled = (similarity / temperature * selection.attract).sum(dim=1) + positive[:, 0]
    loss = total - pulled / (1 + selection.attract.sum(dim=1))
    return without_empty_rows(loss, selection)


@register("info_nce")
class InfoNCE:
    """-log softmax of the positive: view 1 as anchors, view 2 as candidates.

    Args:
        temperature: Divides the cosine, in (0, 10].
    """

    temperature: Annotated[float, Interval("(0, 10]")] = TEMPERATURE
    views: ClassVar[str] = "one"
    learnable: ClassVar[frozenset[str]] = frozenset({"temperature"})
    balanced: ClassVar[bool] = True

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        return contrast(similarity, context, selection, self.temperature)
