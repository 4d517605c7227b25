"""Dense hard negatives from the whole training corpus, mined by the model itself.

Source: Xiong et al. 2021, Approximate Nearest Neighbor Negative Contrastive Learning for Dense
Text Retrieval (ANCE). https://arxiv.org/abs/2007.00808 It mines again as the model trains. The
released code shuffles the top 200 and keeps 20 until it mines again, so that its draws are uniform
over 200 places (``official``); its search is approximate, ours is exact, and every step draws from
all places. Without a refresh it is static mining.
"""

from dataclasses import dataclass
from typing import ClassVar

from nsbench.samplers import Pairing, at_least, one_of, register
from nsbench.samplers._mined import FromCorpus


@register("mined")
@dataclass(frozen=True)
class MinedByModel(FromCorpus):
    """Contrast with texts that the model ranks high for the anchor, with the batch or alone.

    With ``keep="own"`` a row for which nothing was mined keeps none.

    Args:
        k: Mined negatives per anchor and step, >= 1.
        depth: Places of the ranking that a step draws its k from, >= k.
        start: Places skipped at the top of the ranking, >= 0.
        refresh_every: Steps between two rankings, >= 0; 0 keeps the one made at the start.
        lag: Steps that a new ranking waits before it is used, >= 0.
        keep: ``all``: the batch's columns and all mined ones; ``own``: only those mined
            for the anchor.
        shortage: Policy if too few are found: ``fewer``, ``drop``, ``pad_random`` or
            ``error``.
        variant: ``ours``, or ``official``: k of the first 200 places, with the defaults of depth
            and start.
    """

    k: int = 1
    depth: int = 20
    start: int = 0
    refresh_every: int = 100
    lag: int = 0
    keep: str = "all"
    shortage: str = "fewer"
    variant: str = "ours"
    younger: ClassVar[frozenset[str]] = frozenset({"variant"})
    requires_pool: ClassVar[str] = "corpus"
    test_configs: ClassVar = ({"keep": "own", "refresh_every": 0}, {"variant": "official"})

    def __post_init__(self) -> None:
        at_least("mined", "k", self.k, 1)
        at_least("mined", "depth", self._depth, self.k)
        at_least("mined", "start", self.start, 0)
        at_least("mined", "refresh_every", self.refresh_every, 0)
        at_least("mined", "lag", self.lag, 0)
        one_of("mined", "keep", self.keep, ("all", "own"))
        one_of("mined", "variant", self.variant, ("ours", "official"))
        if self.variant == "official" and (self.depth, self.start) != (20, 0):
            raise ValueError(
                f"mined: depth is {self.depth} and start is {self.start}, but the variant official "
                "has 200 and 0; leave both out"
            )
        one_of("mined", "shortage", self.shortage, ("drop", "fewer", "pad_random", "error"))

    @property
    def _depth(self) -> int:
        return 200 if self.variant == "official" else self.depth

    @property
    def pool(self) -> Pairing:
        """The training corpus, ranked by the model in training."""
        return "corpus", {
            "source": "model",
            "shortage": self.shortage,
            "negatives": self.k,
            "depth": self._depth,
            "start": self.start,
            "stop": self.start + self._depth,
            "refresh": self.refresh_every or "never",
            "lag": self.lag,
        }
