"""InfoNCE without the positive in its denominator.

Source: Yeh et al. 2022, Decoupled Contrastive Learning, equation 6. https://arxiv.org/abs/2110.06848
No relation to the debiased loss that is also called DCL. InfoNCE is its softplus, so that an anchor
whose positive has won still pushes as hard as any other. ``weighted`` is the paper's DCLW: the
positive counts by 2 - exp(s / sigma) divided by the mean of exp(s / sigma) over the batch.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, without_empty_rows
from nsbench.benchmarks.objectives._contrast import log_negatives
from nsbench.benchmarks.objectives._hinge import positive_similarity
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext


@register("decoupled")
class Decoupled:
    """log of the negatives' sum, less the positive's logit (Yeh et al.'s DCL).

    Args:
        temperature: Divides the cosine, in (0, 10].
        positives: ``plain`` or ``weighted``, see above.
        sigma: Of the weights of positives, in [0.05, 10]; read by ``weighted`` only.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.1
    positives: Annotated[str, Choice("plain", "weighted")] = "plain"
    sigma: Annotated[float, Interval("[0.05, 10]")] = 0.5
    views: ClassVar[str] = "both"
    learnable: ClassVar[frozenset[str]] = frozenset({"temperature"})
    test_configs: ClassVar = ({"positives": "weighted"}, {"temperature": 0.02})

    @property
    def balanced(self) -> bool:
        """True where the positive pulls as hard as the negatives push."""
        return self.positives == "plain"

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        similarity = similarity.float()
        s_pos = positive_similarity(similarity, context, selection)  # (B,)
        pull = s_pos / self.temperature
        if self.positives == "weighted":
            pull = pull * self._weight(s_pos, selection)
        loss = log_negatives(similarity / self.temperature, selection) - pull
        return without_empty_rows(loss, selection)

    def _weight(self, s_pos: Tensor, selection: Selection) -> Tensor:
        there = selection.mask.any(dim=1)  # (B,) rows without a negative do not count
        strength = torch.exp(s_pos.detach() / self.sigma) * there
        mean = strength.sum() / there.sum().clamp(min=1)
        return 2 - strength / mean.clamp(min=1e-12)
