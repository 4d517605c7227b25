"""Learn a teacher's whole ranking of an anchor's candidates, not only which one is the positive.

Source: Chen et al. 2024, M3-Embedding (BGE-M3), and RankCSE (Liu et al. 2023, ListNet), the
divergence of the student's softmax over candidates from the teacher's.
https://arxiv.org/abs/2402.03216 https://arxiv.org/abs/2305.16726 Here the teacher is a guide. With
``contrast`` the ordinary loss is added.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, without_empty_rows
from nsbench.benchmarks.objectives.info_nce import contrast
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("listwise_kd")
class ListwiseKD:
    """KL divergence of the student's softmax over positive and negatives from the teacher's.

    Args:
        temperature: Divides the student's cosine, in (0, 10].
        teacher_temperature: Divides the teacher's cosine, in (0, 10].
        contrast: Weight of InfoNCE at ``temperature``, in [0, 100].
        guide: The teacher; empty for the cell's own encoder before training.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.05
    teacher_temperature: Annotated[float, Interval("(0, 10]")] = 0.05
    contrast: Annotated[float, Interval("[0, 100]")] = 0.0
    guide: str = ""
    views: ClassVar[str] = "one"
    balanced: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"guide_similarity"})
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    test_configs: ClassVar = ({"contrast": 1.0, "teacher_temperature": 0.02},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        guide = context.require("guide_similarity").float()
        listed = selection.mask.scatter(1, context.positive[:, None], True)  # (B, N)
        if selection.attract is not None:
            listed = listed | selection.attract
        weight = torch.zeros_like(guide)
        if selection.log_weight is not None:
            weight = torch.where(selection.mask, selection.log_weight.float(), 0.0)
        theirs = self._shares(guide / self.teacher_temperature + weight, listed)
        ours = self._shares(similarity.float() / self.temperature + weight, listed)
        loss = (theirs.exp() * (theirs - ours) * listed).sum(dim=1)
        if self.contrast:
            loss = loss + self.contrast * contrast(
                similarity.float(), context, selection, self.temperature
            )
        return without_empty_rows(loss, selection)

    @staticmethod
    def _shares(logits: Tensor, listed: Tensor) -> Tensor:
        """``(B, N)`` log of the softmax over the listed, 0 elsewhere."""
        out = logits.masked_fill(~listed, -torch.inf).log_softmax(dim=1)
        return out.masked_fill(~listed, 0)
