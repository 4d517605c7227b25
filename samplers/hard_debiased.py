"""All candidates, the harder the heavier, under a loss that corrects for the false ones.

Source: Robinson et al. 2021, Contrastive Learning with Hard Negative Samples.
https://arxiv.org/abs/2010.04592 ``official`` lets the weights carry gradient, as the released code
does; ``paper`` detaches them.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Interval, Pairing, Selection, SimilarityContext, register


@register("hard_debiased")
class HardDebiased:
    """Keep every candidate; the objective weights the hard ones more and subtracts false ones.

    Args:
        prior: Probability that a candidate is a false negative (tau plus in the paper), [0, 1).
        beta: Concentration of the weights, in [0, 100]; it multiplies s / temperature.
        variant: ``official``: the weights carry gradient; ``paper``: they do not.
    """

    prior: Annotated[float, Interval("[0, 1)")] = 0.1
    beta: Annotated[float, Interval("[0, 100]")] = 1.0
    variant: Annotated[str, Choice("paper", "official")] = "official"
    test_configs: ClassVar = ({"variant": "paper"},)

    @property
    def objective(self) -> Pairing:
        """The hard debiased objective with the same parameters."""
        chosen = {"prior": self.prior, "beta": self.beta, "variant": self.variant}
        return "hard_debiased", chosen

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask)
