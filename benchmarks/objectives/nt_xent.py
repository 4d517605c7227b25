"""InfoNCE over both views at once: every one of the 2B embeddings is contrasted with all others.

Source: Chen et al. 2020, SimCLR; as used for sentences by Yan et al. 2021, ConSERT.
https://arxiv.org/abs/2002.05709 https://arxiv.org/abs/2105.11741 ``official`` is the
scale of ConSERT's released code: it adds the two views' means instead of averaging them, and
multiplies by its contrastive rate of 0.15 in unsupervised runs as well.
"""

from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives.info_nce import contrast
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext

_SCALE = {"paper": 1.0, "official": 2 * 0.15}


@register("nt_xent")
class NTXent:
    """-log softmax of the other view among all 2B - 1 other embeddings.

    Args:
        temperature: Divides the cosine, in (0, 10].
        variant: ``paper``: mean over the 2B anchors; ``official``: 0.3 times that, the scale of
            ConSERT's code. It matters to gradient clipping and Adam's epsilon only.
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.1
    variant: Annotated[str, Choice(*_SCALE)] = "paper"
    views: ClassVar[str] = "both"
    learnable: ClassVar[frozenset[str]] = frozenset({"temperature"})
    balanced: ClassVar[bool] = True
    test_configs: ClassVar = ({"variant": "official"},)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        return _SCALE[self.variant] * contrast(similarity, context, selection, self.temperature)
