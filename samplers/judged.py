"""Candidates relabelled by a judge: negatives, left out, or positives after all.

Source: Qu et al. 2021, RocketQA: a scorer of pairs calls mined passages negatives below 0.1 and
positives above 0.9, and leaves out what lies between. https://arxiv.org/abs/2010.08191 The three
ways to treat a false negative are those of Thakur et al. 2025, Fixing Data That Hurts Performance:
Cascading LLMs to Relabel Hard Negatives (RLHN). https://arxiv.org/abs/2505.16967 There a
cross-encoder or a language model judges; here a cross-encoder, a guide's cosines, or the labels, as
the judge that never errs. Thresholds belong to a judge: RocketQA's 0.1 and 0.9 are of a
cross-encoder that gives probabilities, the defaults are for cosines.
"""

from typing import Annotated, ClassVar

import torch

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("judged")
class Judged:
    """Keep what the judge calls negative, and treat what it calls positive as told.

    Args:
        mode: What happens to candidates judged positive: ``remove_negative`` drops them,
            ``remove_row`` takes all negatives of such an anchor away, ``relabel`` attracts them.
        judge: ``guide``: the cosine of a guide; ``truth``: 1 where the labels say that both mean
            the same, else 0; ``cross_encoder``: the score that ``scorer`` gives the pair.
        low: A candidate is a negative below this score, in [-100, 100].
        high: A candidate is a positive above this score, in [-100, 100], at least ``low``; between
            the two it is left out.
        among: Who is judged: an anchor's ``own`` given or mined negatives, the others staying
            negatives, or ``all``.
        guide: Encoder that judges; empty for the cell's own encoder before training.
        scorer: Cross-encoder with one output, a folder or a hub name; for own negatives only.
    """

    mode: Annotated[str, Choice("remove_negative", "remove_row", "relabel")] = "relabel"
    judge: Annotated[str, Choice("guide", "truth", "cross_encoder")] = "guide"
    low: Annotated[float, Interval("[-100, 100]")] = 0.6
    high: Annotated[float, Interval("[-100, 100]")] = 0.8
    among: Annotated[str, Choice("own", "all")] = "own"
    guide: str = ""
    scorer: str = ""
    younger: ClassVar[frozenset[str]] = frozenset({"scorer"})
    free_text: ClassVar[frozenset[str]] = frozenset({"guide", "scorer"})
    may_empty: ClassVar[bool] = True
    test_configs: ClassVar = (
        {"mode": "remove_row", "among": "all", "low": 0.1, "high": 0.3},
        {"mode": "remove_negative", "judge": "truth"},
        {"judge": "truth", "among": "all"},
        {"judge": "cross_encoder", "scorer": "a-model", "low": 0.3, "high": 0.7},
    )

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise ValueError(f"judged: high is {self.high!r}, below low, which is {self.low!r}")
        if self.guide and self.judge != "guide":
            raise ValueError(f"judged: guide is {self.guide!r}, but judge is {self.judge!r}")
        if bool(self.scorer) != (self.judge == "cross_encoder"):
            raise ValueError(f"judged: scorer is {self.scorer!r}, but judge is {self.judge!r}")
        if self.scorer and self.among != "own":
            raise ValueError(
                "judged: among is 'all', but a cross-encoder would score every anchor with every "
                "candidate; it judges own negatives only"
            )

    @property
    def needs(self) -> frozenset[str]:
        """Extras that the judge reads, and whose negatives are judged."""
        reads = {"guide": "guide_similarity", "truth": "truth", "cross_encoder": "own_score"}
        judge = reads[self.judge]
        return frozenset({judge} | ({"own_negative"} if self.among == "own" else set()))

    def __call__(self, context: SimilarityContext) -> Selection:
        score, asked = self._judge(context)
        false = asked & (score > self.high)
        mask = context.negative_mask & ~(asked & (score >= self.low))
        if self.mode == "relabel":
            return Selection(mask=mask, attract=false)
        if self.mode == "remove_row":
            mask = mask & ~false.any(dim=1, keepdim=True)
        return Selection(mask=mask)

    def diagnostics(self, context: SimilarityContext) -> dict[str, torch.Tensor]:
        """Shares of the candidates asked about that the judge calls positive, and leaves out.

        Returns:
            ``judged_positive`` and ``judged_between``, 0-dim in [0, 1]; NaN where none was asked
            about.
        """
        score, asked = self._judge(context)
        positive, between = score > self.high, (score >= self.low) & (score <= self.high)
        return {
            name: (asked & judged).sum() / asked.sum()
            for name, judged in (("judged_positive", positive), ("judged_between", between))
        }

    def _judge(self, context: SimilarityContext) -> tuple[torch.Tensor, torch.Tensor]:
        """``(B, N)`` scores, and whether a candidate is asked about."""
        if self.judge == "truth":
            score = context.require("truth").to(torch.float32)
        elif self.judge == "cross_encoder":
            score = context.require("own_score")[None, :].expand_as(context.similarity)
        else:
            score = context.require("guide_similarity")
        asked = context.negative_mask
        if self.among == "own":
            asked = asked & context.require("own_negative")
        return score, asked
