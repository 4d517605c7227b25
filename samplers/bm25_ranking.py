"""No encoder at all: BM25 ranks the documents of retrieval tasks.

Source: Robertson and Zaragoza 2009, The Probabilistic Relevance Framework: BM25 and Beyond; the
lexical row of every retrieval table since Thakur et al. 2021, BEIR.
https://doi.org/10.1561/1500000019 https://arxiv.org/abs/2104.08663
"""

from typing import Annotated, ClassVar

import torch

from nsbench.samplers import Interval, Selection, SimilarityContext, register


@register("bm25_ranking")
class Bm25Ranking:
    """Take no step and ask no encoder: rank documents by BM25. For retrieval tasks only.

    Args:
        k1: Saturation of term counts, in [0, 10].
        b: Share of length normalisation, in [0, 1].
        stopwords: Language of the words that are left out, or ``none``.
        stemmer: Language of the stemmer, or ``none``.
    """

    k1: Annotated[float, Interval("[0, 10]")] = 0.9
    b: Annotated[float, Interval("[0, 1]")] = 0.4
    stopwords: str = "english"
    stemmer: str = "none"
    trains: ClassVar[bool] = False
    ranks: ClassVar[str] = "bm25"
    may_empty: ClassVar[bool] = True
    free_text: ClassVar[frozenset[str]] = frozenset({"stopwords", "stemmer"})

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=torch.zeros_like(context.negative_mask))
