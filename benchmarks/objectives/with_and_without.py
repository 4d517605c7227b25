"""The mean of a loss with the candidates that a sampler made, and of the one without them.

Source: Chen et al. 2023, Alleviating Over-smoothing for Unsupervised Sentence Representation
(SSCL), whose released code averages the two. https://arxiv.org/abs/2305.06154
"""

from dataclasses import replace
from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._inner import Wraps, inner_objective
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("with_and_without")
class WithAndWithout(Wraps):
    """share * the inner loss over all negatives + (1 - share) * the one over real ones alone.

    Where a sampler makes no candidates, it is the inner loss.

    Args:
        inner: The objective, ``name`` or ``name[parameter=value,...]``.
        share: Of the loss with made candidates, in [0, 1].
    """

    inner: Annotated[str, inner_objective] = "info_nce"
    share: Annotated[float, Interval("[0, 1]")] = 0.5
    test_configs: ClassVar = ({"inner": "nt_xent", "share": 0.2},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        everything: Tensor = self.wrapped(similarity, context, selection)
        if context.synthetic is None:
            return everything
        real = replace(selection, mask=selection.mask & ~context.synthetic)
        alone: Tensor = self.wrapped(similarity, context, real)
        return self.share * everything + (1 - self.share) * alone
