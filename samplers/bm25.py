"""Lexically hard negatives: texts that share the anchor's words.

Source: Karpukhin et al. 2020, Dense Passage Retrieval for Open-Domain Question Answering (DPR).
https://arxiv.org/abs/2004.04906 Mining is the pool `corpus`'s; how many are mined, and of how many
each step draws, are our numbers.
"""

from dataclasses import dataclass
from typing import ClassVar

from nsbench.samplers import Pairing, at_least, in_range, one_of, register
from nsbench.samplers._mined import FromCorpus


@register("bm25")
@dataclass(frozen=True)
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

    k: int = 1
    depth: int = 20
    keep: str = "all"
    k1: float = 0.9
    b: float = 0.4
    shortage: str = "fewer"
    requires_pool: ClassVar[str] = "corpus"
    test_configs: ClassVar = ({"keep": "own"},)

    def __post_init__(self) -> None:
        at_least("bm25", "k", self.k, 1)
        at_least("bm25", "depth", self.depth, self.k)
        one_of("bm25", "keep", self.keep, ("all", "own"))
        in_range("bm25", "k1", self.k1, 0, 10)
        in_range("bm25", "b", self.b, 0, 1)
        one_of("bm25", "shortage", self.shortage, ("drop", "fewer", "pad_random", "error"))

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
