"""Negatives from the whole corpus, from any source, window and filter.

Source: random documents: Karpukhin et al. 2020, DPR; the first of a ranking, refreshed or not:
Xiong et al. 2021, ANCE; places skipped, an absolute bound on the score, and bounds below the
positive's score by a margin or a share: Moreira et al. 2024, NV-Retriever, whose settings are 4
negatives, 10 places skipped, 0.7, 0.05 and 95 %. https://arxiv.org/abs/2004.04906
https://arxiv.org/abs/2007.00808 https://arxiv.org/abs/2407.15831
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Interval, Pairing, register
from nsbench.samplers._mined import FromCorpus, margin_or_none


@register("corpus_negatives")
class CorpusNegatives(FromCorpus):
    """Contrast with texts that a source ranks for the anchor, with the batch or alone.

    With ``keep="own"`` a row for which nothing was found keeps none. The pool `corpus` checks how
    the settings fit together.

    Args:
        source: Whose ranking: ``random``, ``bm25``, ``model`` (in training), ``guide`` (frozen);
            several joined by +.
        guide: The guide's name; empty for the cell's encoder as it starts.
        k: Negatives per anchor and step, >= 1.
        depth: Candidates of which a step draws its k, >= k; equal: always the same.
        start: Places skipped at the top of the ranking, >= 0.
        stop: Place behind the last that is considered; 0 for ``start + depth``. A filter needs
            more room.
        margin: Keep scores <= s_pos - margin, in [0, 2]; -1 for any.
        relative_margin: Keep scores <= s_pos - |s_pos| * relative_margin, in [0, 2]; -1 for any.
        max_score: Keep cosines <= max_score, in [-1, 1]; 1 for any.
        blend: Of several sources: ``fusion`` of their ranks, or each in turn by ``shares``.
        shares: Weight of each of several sources; a list, empty for equal weights.
        refresh_every: Steps between two rankings, >= 0; 0 keeps the one made at the start.
        keep: ``all``: the batch's columns and all mined ones; ``own``: only those mined
            for the anchor.
        shortage: Policy if too few are found: ``fewer``, ``drop``, ``pad_random`` or
            ``error``.
    """

    source: str = "random"
    guide: str = ""
    k: Annotated[int, Interval("[1, inf)")] = 1
    depth: Annotated[int, Interval("[k, inf)")] = 20
    start: Annotated[int, Interval("[0, inf)")] = 0
    stop: Annotated[int, Interval("[0, inf)")] = 0
    margin: Annotated[float, margin_or_none] = -1.0
    relative_margin: Annotated[float, margin_or_none] = -1.0
    max_score: Annotated[float, Interval("[-1, 1]")] = 1.0
    blend: Annotated[str, Choice("fusion", "shares")] = "fusion"
    shares: tuple[float, ...] = ()
    refresh_every: Annotated[int, Interval("[0, inf)")] = 0
    keep: Annotated[str, Choice("all", "own")] = "all"
    shortage: Annotated[str, Choice("drop", "fewer", "pad_random", "error")] = "fewer"
    requires_pool: ClassVar[str] = "corpus"
    free_text: ClassVar[frozenset[str]] = frozenset({"source", "guide"})
    test_configs: ClassVar = (
        {"source": "guide", "relative_margin": 0.05, "stop": 100, "keep": "own"},
        {"source": "bm25+random", "blend": "shares", "shares": (3.0, 1.0)},
    )

    @property
    def pool(self) -> Pairing:
        """The training corpus with these settings."""
        own = ("k", "refresh_every", "keep")
        same = {name: value for name, value in vars(self).items() if name not in own}
        return "corpus", same | {"negatives": self.k, "refresh": self.refresh_every or "never"}
