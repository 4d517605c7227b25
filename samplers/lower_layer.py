"""The batch's embeddings by the layer below the last, as further negatives.

Source: Chen et al. 2023, Alleviating Over-smoothing for Unsupervised Sentence Representation
(SSCL). https://arxiv.org/abs/2305.06154 Sentences of one batch look alike in the upper layers, and
the last one is to differ from those below it. The released code takes one or two layers, lets the
gradient flow into them, and averages the loss with the one without them: the objective
`with_and_without`, its pairing here. Here it is the one layer below the last, pooled as a mean over
tokens with dropout off, and no gradient flows into it.
"""

from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.samplers import Pairing, SimilarityContext, register
from nsbench.samplers._inner import ChoosesThen, inner_sampler


@register("lower_layer")
class LowerLayer(ChoosesThen):
    """Add both views of all texts of the batch, the anchor's own among them, by a lower layer.

    For encoders with layers.

    Args:
        then: Sampler that chooses from real and added candidates together.
    """

    then: Annotated[str, inner_sampler] = "in_batch"
    reads: ClassVar[frozenset[str]] = frozenset({"anchors", "lower"})
    objective: ClassVar[Pairing] = "with_and_without"
    requires_layers: ClassVar[bool] = True
    test_configs: ClassVar = ({"then": "hard[k=5]"},)

    def made(self, context: SimilarityContext) -> Tensor:
        """``(B, L, d)`` the same embeddings for every anchor."""
        lower = context.require("lower").to(context.require("anchors").dtype)
        return lower.expand(len(context.similarity), *lower.shape)
