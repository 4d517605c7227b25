"""Candidates relabelled by a judge: negatives, left out, or positives after all.

Source: Qu et al. 2021, RocketQA: a scorer of pairs calls mined passages negatives below 0.1 and
positives above 0.9, and leaves out what lies between. https://arxiv.org/abs/2010.08191 The three
ways to treat a false negative are those of Thakur et al. 2025, Fixing Data That Hurts Performance:
Cascading LLMs to Relabel Hard Negatives (RLHN). https://arxiv.org/abs/2505.16967 There a
cross-encoder or a language model judges; here a guide's cosines do, or the labels, as the judge
that never errs. Thresholds belong to a judge: those of a cross-encoder are not those of cosines.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from nsbench.samplers import (
    Selection,
    SimilarityContext,
    in_range,
    is_text,
    one_of,
    register,
)


@register("judged")
@dataclass(frozen=True)
class Judged:
    """Keep what the judge calls negative, and treat what it calls positive as told.

    Args:
        mode: What happens to candidates judged positive: ``remove_negative`` drops them,
            ``remove_row`` takes all negatives of such an anchor away, ``relabel`` attracts them.
        judge: ``guide``: the cosine of a guide; ``truth``: 1 where the labels say that both mean
            the same, else 0.
        low: A candidate is a negative below this score, in [-1, 1].
        high: A candidate is a positive above this score, in [-1, 1], at least ``low``; between
            the two it is left out.
        among: Who is judged: an anchor's ``own`` given or mined negatives, the others staying
            negatives, or ``all``.
        guide: Encoder that judges; empty for the cell's own encoder before training.
    """

    mode: str = "relabel"
    judge: str = "guide"
    low: float = 0.6
    high: float = 0.8
    among: str = "own"
    guide: str = ""
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    may_empty: ClassVar[bool] = True
    test_configs: ClassVar = (
        {"mode": "remove_row", "among": "all", "low": 0.1, "high": 0.3},
        {"mode": "remove_negative", "judge": "truth"},
        {"judge": "truth", "among": "all"},
    )

    def __post_init__(self) -> None:
        one_of("judged", "mode", self.mode, ("remove_negative", "remove_row", "relabel"))
        one_of("judged", "judge", self.judge, ("guide", "truth"))
        in_range("judged", "low", self.low, -1, 1)
        in_range("judged", "high", self.high, -1, 1)
        if self.high < self.low:
            raise ValueError(f"judged: high is {self.high!r}, below low, which is {self.low!r}")
        one_of("judged", "among", self.among, ("own", "all"))
        is_text("judged", "guide", self.guide)
        if self.guide and self.judge != "guide":
            raise ValueError(f"judged: guide is {self.guide!r}, but judge is {self.judge!r}")

    @property
    def needs(self) -> frozenset[str]:
        """Extras that the judge reads, and whose negatives are judged."""
        judge = "guide_similarity" if self.judge == "guide" else "truth"
        return frozenset({judge} | ({"own_negative"} if self.among == "own" else set()))

    def __call__(self, context: SimilarityContext) -> Selection:
        if self.judge == "truth":
            score = context.require("truth").to(torch.float32)
        else:
            score = context.require("guide_similarity")
        asked = context.negative_mask
        if self.among == "own":
            asked = asked & context.require("own_negative")
        false = asked & (score > self.high)
        mask = context.negative_mask & ~(asked & (score >= self.low))
        if self.mode == "relabel":
            return Selection(mask=mask, attract=false)
        if self.mode == "remove_row":
            mask = mask & ~false.any(dim=1, keepdim=True)
        return Selection(mask=mask)
