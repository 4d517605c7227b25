"""Lexically hard negatives: texts that share the anchor's words.

Source: Karpukhin et al. 2020, Dense Passage Retrieval for Open-Domain Question Answering (DPR).
https://arxiv.org/abs/2004.04906 Mining is the pool `corpus`'s; how many are mined, and of how many
each step draws, are our numbers.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Interval, Pairing, register
from nsbench.samplers._mined import FromCorpus


@register("bm25")
class BM25(FromCorpus):
    """Contrast with texts that BM25 ranks high for the anchor, with the batch or alone.

    With ``keep="own"`` a row for which nothing was mined keeps none.

    Args:
        k: Mined negatives per anchor and step, >= 1.
        depth: Places of the ranking that a step draws its k from, >= k.
        keep: ``all``: the batch's columns and all mined ones; ``own``: only those mined
            for the anchor.
        k1: BM25's saturation of term counts, in [0, 10].
        b: BM25's share of length normalisation, in [0, 1].
        shortage: Policy if too few are found: ``fewer``, ``drop``, ``pad_random`` or
            ``error``.
    """

    k: Annotated[int, Interval("[1, inf)")] = 1
    depth: Annotated[int, Interval("[k, inf)")] = 20
    keep: Annotated[str, Choice("all", "own")] = "all"
    k1: Annotated[float, Interval("[0, 10]")] = 0.9
    b: Annotated[float, Interval("[0, 1]")] = 0.4
    shortage: Annotated[str, Choice("drop", "fewer", "pad_random", "error")] = "fewer"
    requires_pool: ClassVar[str] = "corpus"
    test_configs: ClassVar = ({"keep": "own"},)

    @property
    def pool(self) -> Pairing:
        """The training corpus, ranked by BM25."""
        return "corpus", {
            "source": "bm25",
            "shortage": self.shortage,
            "negatives": self.k,
            "depth": self.depth,
            "k1": self.k1,
            "b": self.b,
        }
