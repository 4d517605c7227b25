"""The negatives that the data give each row, and nothing else.

Source: explicit negatives as in Karpukhin et al. 2020, Dense Passage Retrieval for Open-Domain
Question Answering (DPR), section 3.2, without its in-batch negatives; with one negative a row it
is the triplet of Schroff et al. 2015, FaceNet, under the loss that is chosen.
https://arxiv.org/abs/2004.04906 https://arxiv.org/abs/1503.03832
"""

from typing import ClassVar

from nsbench.samplers import Selection, SimilarityContext, register


@register("given")
class Given:
    """Keep only the negatives that the data give the anchor's row.

    A row to which none is given, or only texts that may not be negatives (a known positive), keeps
    none and has no loss. Data without any given negative are refused. A pool that mines adds its
    texts for the anchor to those that are given.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"own_negative"})
    may_empty: ClassVar[bool] = True
    requires_given: ClassVar[bool] = True

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask & context.require("own_negative"))  # (B, N)
