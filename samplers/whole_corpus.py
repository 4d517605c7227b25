"""The hardest candidates of the whole corpus, by the encoder as it is at each step.

Source: Zhan et al. 2021, Optimizing Dense Retrieval Model Training with Hard Negatives (ADORE).
https://arxiv.org/abs/2104.08051 It takes the first 200 of a frozen index, and weighs pairs by the
change of a ranking metric; here they are in one softmax, or what the objective makes of them.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register


@register("whole_corpus")
class WholeCorpus:
    """Keep the k hardest of all documents, whose embeddings are frozen.

    Args:
        k: Negatives per anchor, >= 1.
        skip: Places left out at the top, >= 0; a row with no more candidates keeps none.
    """

    k: Annotated[int, Interval("[1, inf)")] = 200
    skip: Annotated[int, Interval("[0, inf)")] = 0
    pool: ClassVar[str] = "frozen_corpus"
    requires_pool: ClassVar[str] = "frozen_corpus"
    may_empty: ClassVar[bool] = True
    test_configs: ClassVar = ({"k": 3, "skip": 2},)

    def __call__(self, context: SimilarityContext) -> Selection:
        ranks = context.ranks()
        here = (ranks >= self.skip) & (ranks < self.skip + self.k)
        return Selection(mask=context.negative_mask & here)
