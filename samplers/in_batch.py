"""Every other candidate is a negative: the baseline all others are compared with.

Source: van den Oord et al. 2018, Representation Learning with Contrastive Predictive Coding,
section 2.3; as in-batch negatives for sentences, Gao et al. 2021, SimCSE, equation 1.
https://arxiv.org/abs/1807.03748 https://arxiv.org/abs/2104.08821
"""

from nsbench.samplers import Selection, SimilarityContext, register


@register("in_batch")
class InBatch:
    """Keep every candidate that may be a negative."""

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask)
