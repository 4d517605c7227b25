"""The debiased contrast with a share of false negatives of each anchor's own.

Source: the loss is that of Chuang et al. 2020, Debiased Contrastive Learning, see `debiased`; that
its prior may differ from anchor to anchor is usage (the library memeff takes a vector), and where
it is taken from is ours. https://arxiv.org/abs/2007.00224 In a corpus of uneven topics one prior
is wrong for most anchors.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._debias import DebiasedEstimate, debiased, terms
from nsbench.samplers import Choice, Interval, Selection, SimilarityContext

_EXTRA = {"truth": "truth", "guide": "guide_similarity"}


@register("debiased_rows")
class DebiasedRows(DebiasedEstimate):
    """DCL whose prior is the share of an anchor's negatives that look false.

    Args:
        temperature: Divides the cosine, in (0, 10].
        judge: ``truth``: what the labels say is false, an upper bound for any estimate; ``guide``:
            negatives that a guide holds to be as near as the positive.
        most: Largest prior of an anchor, in [0, 1).
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.5
    judge: Annotated[str, Choice(*_EXTRA)] = "truth"
    most: Annotated[float, Interval("[0, 1)")] = 0.5
    views: ClassVar[str] = "both"
    test_configs: ClassVar = ({"judge": "guide"}, {"temperature": 0.1, "most": 0.9})

    @property
    def needs(self) -> frozenset[str]:
        """Extra that the judge reads."""
        return frozenset({_EXTRA[self.judge]})

    def prior(self, context: SimilarityContext, selection: Selection) -> Tensor:
        """``(B, 1)`` weighted share of the chosen that the judge holds to be false."""
        seen = context.require(_EXTRA[self.judge])
        false = seen
        if self.judge == "guide":
            false = seen >= seen.gather(1, context.positive[:, None])
        weight = selection.mask.float()
        if selection.log_weight is not None:
            log = selection.log_weight.float().masked_fill(~selection.mask, -torch.inf)
            weight = torch.where(selection.mask.any(dim=1, keepdim=True), log, 0.0).softmax(dim=1)
            weight = weight * selection.mask
        share = (weight * false).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-12)
        return share.clamp(max=self.most)[:, None]

    def estimate(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> tuple[Tensor, Tensor]:
        t = terms(similarity, context, selection, self.temperature)
        log_sum = (t.negative + t.log_weight).logsumexp(dim=1, keepdim=True)
        return debiased(t, log_sum, self.prior(context, selection))
