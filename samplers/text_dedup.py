"""Candidates that share most of their tokens with the anchor or its positive are near duplicates.

Source: ours, the label-free lower bound for false-negative removal: exact and near duplicates are
common in STS texts, and no training set of Yan et al. 2021, ConSERT, was deduplicated.
https://arxiv.org/abs/2105.11741
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register


@register("text_dedup")
class TextDedup:
    """Drop the candidates whose token overlap reaches a threshold.

    Texts equal after normalisation are never candidates; this also drops those that are nearly
    equal. A row of near duplicates only keeps none.

    Args:
        threshold: Jaccard overlap of token sets from which on a candidate is dropped, in (0, 1].
    """

    threshold: Annotated[float, Interval("(0, 1]")] = 0.8
    needs: ClassVar[frozenset[str]] = frozenset({"token_overlap"})
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"threshold"})
    test_configs: ClassVar = ({"threshold": 0.3},)

    def __call__(self, context: SimilarityContext) -> Selection:
        near = context.require("token_overlap") >= self.threshold
        return Selection(mask=context.negative_mask & ~near)
