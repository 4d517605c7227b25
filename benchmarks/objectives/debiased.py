"""InfoNCE corrected for the false negatives that a random batch holds on average.

Source: Chuang et al. 2020, Debiased Contrastive Learning (DCL).
https://arxiv.org/abs/2007.00224 At small temperatures the correction exceeds the negatives for
nearly every anchor; the estimate then lies at its floor and the negatives get no gradient. Watch
``clamp_rate``: for text, temperature >= 0.2 or prior <= 0.001.
"""

from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._debias import DebiasedEstimate, debiased, terms
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("debiased")
class Debiased(DebiasedEstimate):
    """NT-Xent whose negatives are corrected for a known share of false ones.

    Args:
        temperature: Divides the cosine, in (0, 10].
        prior: Probability that a negative is a false one (tau plus in the paper), in [0, 1).
    """

    temperature: Annotated[float, Interval("(0, 10]")] = 0.5
    prior: Annotated[float, Interval("[0, 1)")] = 0.1
    views: ClassVar[str] = "both"
    test_configs: ClassVar = ({"prior": 0.0, "temperature": 0.1}, {"temperature": 0.02})

    def estimate(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> tuple[Tensor, Tensor]:
        t = terms(similarity, context, selection, self.temperature)
        return debiased(t, (t.negative + t.log_weight).logsumexp(dim=1, keepdim=True), self.prior)
