"""Any contrast, and a band in which some candidates are to lie below the positive.

Source: Wang et al. 2022, SNCSE: Contrastive Learning for Unsupervised Sentence Embedding with Soft
Negative Samples, its bidirectional margin loss. https://arxiv.org/abs/2201.05979 There the
candidates are negations of the anchor, alpha is 0.1, beta 0.3 and the weight 1e-3. For false
negatives: Deng et al. 2023, ClusterNS, with alpha 0, beta 0.3 and weight 1e-3.
https://arxiv.org/abs/2305.09892 Its released code means over all pairs of a batch, those outside
the band's reach included, here the mean is over the pairs that are meant.
"""

from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register, without_empty_rows
from nsbench.benchmarks.objectives._inner import Wraps, inner_objective
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext


@register("band_margin")
class BandMargin(Wraps):
    """An objective plus weight * (relu(D + alpha) + relu(-D - beta)), D = s - s_pos.

    An anchor without such candidates pays nothing for them.

    Args:
        inner: The objective, ``name`` or ``name[parameter=value,...]``.
        alpha: The candidates are to be at least so much below the positive, in [-2, 2].
        beta: And at most so much, in [-2, 2], at least ``alpha``.
        weight: Of the band, in [0, 1000].
        over: Which candidates: an anchor's ``own`` given or mined negatives, or those that the
            sampler ``attracted``; to the inner objective they are neither.
        contrast: ``leave``: the inner objective does not see them; ``keep``: they are negatives
            there.
    """

    inner: Annotated[str, inner_objective] = "info_nce"
    alpha: Annotated[float, Interval("[-2, 2]")] = 0.1
    beta: Annotated[float, Interval("[-2, 2]")] = 0.3
    weight: Annotated[float, Interval("[0, 1000]")] = 1e-3
    over: Annotated[str, Choice("own", "attracted")] = "own"
    contrast: Annotated[str, Choice("leave", "keep")] = "leave"
    test_configs: ClassVar = (
        {"over": "attracted", "alpha": 0.0, "weight": 1.0},
        {"over": "own", "contrast": "keep", "weight": 1.0},
        {"over": "attracted", "contrast": "keep", "inner": "nt_xent"},
    )

    def __post_init__(self) -> None:
        if self.beta < self.alpha:
            raise ValueError(f"band_margin: beta is {self.beta!r}, below alpha, {self.alpha!r}")

    @property
    def needs(self) -> frozenset[str]:
        """As the inner objective, and whose negatives are meant."""
        own = {"own_negative"} if self.over == "own" else set()
        return frozenset(getattr(self.wrapped, "needs", ())) | own

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        meant, rest = self._parts(context, selection)
        loss: Tensor = self.wrapped(similarity, context, rest)
        return without_empty_rows(
            loss + self.weight * self._band(similarity, context, meant), selection
        )

    def _parts(self, context: SimilarityContext, selection: Selection) -> tuple[Tensor, Selection]:
        """``(B, N)`` bool of the candidates in question, and what the inner objective sees."""
        if self.over == "own":
            meant = selection.mask & context.require("own_negative")
            rest = selection
        else:
            attract = selection.attract
            meant = torch.zeros_like(selection.mask) if attract is None else attract
            rest = replace(selection, attract=None)
        if self.contrast == "keep":
            return meant, replace(rest, mask=rest.mask | meant)
        return meant, replace(rest, mask=rest.mask & ~meant)

    def _band(self, similarity: Tensor, context: SimilarityContext, meant: Tensor) -> Tensor:
        """``(B,)`` mean cost of the candidates in question."""
        similarity = similarity.float()
        gap = similarity - similarity.gather(1, context.positive[:, None])  # (B, N)
        cost = torch.relu(gap + self.alpha) + torch.relu(-gap - self.beta)
        return (cost * meant).sum(dim=1) / meant.sum(dim=1).clamp(min=1)
