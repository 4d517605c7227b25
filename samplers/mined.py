"""Dense hard negatives from the whole training corpus, mined by the model itself.

Source: Xiong et al. 2021, Approximate Nearest Neighbor Negative Contrastive Learning for Dense
Text Retrieval (ANCE). https://arxiv.org/abs/2007.00808 It mines again as the model trains. The
released code shuffles the top 200 and keeps 20 until it mines again, so that its draws are uniform
over 200 places (``official``); its search is approximate, ours is exact, and every step draws from
all places. Without a refresh it is static mining.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Interval, Pairing, at_least, register
from nsbench.samplers._mined import FromCorpus


@register("mined")
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

    k: Annotated[int, Interval("[1, inf)")] = 1
    depth: int = 20
    start: Annotated[int, Interval("[0, inf)")] = 0
    refresh_every: Annotated[int, Interval("[0, inf)")] = 100
    lag: Annotated[int, Interval("[0, inf)")] = 0
    keep: Annotated[str, Choice("all", "own")] = "all"
    shortage: Annotated[str, Choice("drop", "fewer", "pad_random", "error")] = "fewer"
    variant: Annotated[str, Choice("ours", "official")] = "ours"
    younger: ClassVar[frozenset[str]] = frozenset({"variant"})
    requires_pool: ClassVar[str] = "corpus"
    test_configs: ClassVar = ({"keep": "own", "refresh_every": 0}, {"variant": "official"})

    def __post_init__(self) -> None:
        at_least("mined", "depth", self._depth, self.k)
        if self.variant == "official" and (self.depth, self.start) != (20, 0):
            raise ValueError(
                f"mined: depth is {self.depth} and start is {self.start}, but the variant official "
                "has 200 and 0; leave both out"
            )

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
