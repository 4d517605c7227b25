"""Two contrasts of an anchor: with the batch, and with its own hard negatives, apart.

Source: Zhang et al. 2025, F2LLM Technical Report: Matching SOTA Embedding Performance with 6
Million Open-Source Data. https://arxiv.org/abs/2510.02294 Its code adds an in-batch loss
(of retrieval data) and a hard-negative loss, both at temperature 0.05. The two are weighted against
each other in Conti et al. 2025, Context is Gold to find the Gold Passage: Evaluating and Training
Contextual Document Embeddings (InSeNT). https://arxiv.org/abs/2505.24782 In one softmax the two
kinds compete for the same push; here they do not.
"""

from dataclasses import replace
from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives.info_nce import contrast
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("split")
class Split:
    """InfoNCE against the batch, plus InfoNCE against the anchor's own negatives.

    Negatives that were given to, or mined for, another anchor count in neither. An anchor without
    negatives of a kind has no loss of that kind.

    Args:
        temperature: Divides the cosine, in (0, 10].
        batch_weight: Of the contrast with the batch, in [0, 100]; 0 where the batch holds too many
            false negatives, as in classification.
        own_weight: Of the contrast with own negatives, in [0, 100].
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.05
    batch_weight: Annotated[float, Interval("[0, 100]")] = 1.0
    own_weight: Annotated[float, Interval("[0, 100]")] = 1.0
    views: ClassVar[str] = "one"
    balanced: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"own_negative"})
    test_configs: ClassVar = ({"batch_weight": 0.5, "own_weight": 0.5}, {"batch_weight": 0.0})

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        own = context.require("own_negative")
        curated = own.any(dim=0, keepdim=True)  # (1, N)
        in_batch = replace(selection, mask=selection.mask & ~curated)
        hard = replace(selection, mask=selection.mask & own)
        t = self.temperature
        return self.batch_weight * contrast(
            similarity, context, in_batch, t
        ) + self.own_weight * contrast(similarity, context, hard, t)
