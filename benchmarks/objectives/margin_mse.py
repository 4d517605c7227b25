"""Learn by how much a teacher prefers the positive to each negative.

Source: Hofstätter et al. 2020, Improving Efficient Neural Ranking Models with Cross-Architecture
Knowledge Distillation (Margin-MSE). https://arxiv.org/abs/2010.02666 There a cross-encoder's scores
are unbounded; here the teacher is a guide, whose cosines are those of the student.
"""

from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register, without_empty_rows
from nsbench.benchmarks.objectives._hinge import positive_similarity, weights
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("margin_mse")
class MarginMSE:
    """Mean square of (s_pos - s_neg) - (t_pos - t_neg) over the negatives, t by the teacher.

    Args:
        scale: Multiplies both margins, in (0, 1000].
        guide: The teacher; empty for the cell's own encoder before training.
    """

    scale: Annotated[float, Interval("(0, 1000]")] = 1.0
    guide: str = ""
    views: ClassVar[str] = "one"
    needs: ClassVar[frozenset[str]] = frozenset({"guide_similarity"})
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    balanced: ClassVar[bool] = True
    test_configs: ClassVar = ({"scale": 20.0},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        guide, similarity = context.require("guide_similarity").float(), similarity.float()
        ours = positive_similarity(similarity, context, selection)[:, None] - similarity
        theirs = positive_similarity(guide, context, selection)[:, None] - guide
        off = (self.scale * (ours - theirs)).square()  # (B, N)
        loss = (weights(similarity, selection) * off).sum(dim=1)
        return without_empty_rows(loss, selection)
