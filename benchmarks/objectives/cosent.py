"""Graded pairs by their order: of two pairs, the one with the higher grade is to be nearer.

Source: Su 2022, CoSENT; the loss is that of sentence-transformers' ``CoSENTLoss``, whose scale of
20 is the default. https://kexue.fm/archives/8847 It reads how alike a row's two texts are, and no
negatives: other rows are compared with, not contrasted.
"""

from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._ranks import wrong_order
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("cosent")
class CoSENT:
    """log(1 + sum of exp(scale * (s_j - s_i)) over pairs of rows with grade_i > grade_j).

    For data with ``views = "graded"``. Every anchor is given the loss of the batch; an anchor that
    the sampler leaves without a negative does not count.

    Args:
        scale: Multiplies differences of cosines, in (0, 1000].
    """

    scale: Annotated[float, Interval("(0, 1000]")] = 20.0
    views: ClassVar[str] = "one"
    needs: ClassVar[frozenset[str]] = frozenset({"grade"})
    test_configs: ClassVar = ({"scale": 1.0},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        score = similarity.float().gather(1, context.positive[:, None])[:, 0]
        return wrong_order(score, context.require("grade"), selection, self.scale)
