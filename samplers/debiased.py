"""All candidates, under a loss that corrects for the share of false ones among them.

Source: Chuang et al. 2020, Debiased Contrastive Learning. https://arxiv.org/abs/2007.00224
"""

from typing import Annotated

from nsbench.samplers import Interval, Pairing, Selection, SimilarityContext, register


@register("debiased")
class Debiased:
    """Keep every candidate; the debiased objective subtracts the expected false ones from the sum.

    Args:
        prior: Probability that a candidate is a false negative (tau plus in the paper), [0, 1).
    """

    prior: Annotated[float, Interval("[0, 1)")] = 0.1

    @property
    def objective(self) -> Pairing:
        """The debiased objective with the same prior."""
        return "debiased", {"prior": self.prior}

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask)
