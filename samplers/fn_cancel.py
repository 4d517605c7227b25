"""Candidates very similar to any view of the anchor are false negatives.

Source: Huynh et al. 2022, Boosting Contrastive Self-Supervised Learning with False Negative
Cancellation. https://arxiv.org/abs/2011.11765 The released code implements attraction
only, and there what is attracted stays in the denominator, as `info_nce` keeps it.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("fn_cancel")
class FNCancel:
    """Remove the top candidates by support, if above a threshold, from the negatives.

    Support is the largest similarity of the candidate to any view of the anchor. A row whose
    candidates are all false negatives keeps none.

    Args:
        top_k: Most candidates that an anchor can declare false, >= 0.
        threshold: Support above which a candidate is declared false, in [-1, 1].
        mode: ``attraction``: false negatives become positives; ``elimination``: they are dropped.
    """

    top_k: Annotated[int, Interval("[0, inf)")] = 10
    threshold: Annotated[float, Interval("[-1, 1]")] = 0.7
    mode: Annotated[str, Choice("attraction", "elimination")] = "attraction"
    needs: ClassVar[frozenset[str]] = frozenset({"support_similarity"})
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"threshold"})
    test_configs: ClassVar = (
        {"mode": "elimination", "threshold": 0.2},
        {"mode": "attraction", "threshold": -1.0, "top_k": 3},
    )

    def __call__(self, context: SimilarityContext) -> Selection:
        support = context.require("support_similarity").clamp(max=1)  # (B, N)
        top = context.ranks(support) < self.top_k
        false = context.negative_mask & top & (support > self.threshold)
        kept = context.negative_mask & ~false
        if self.mode == "elimination":
            return Selection(mask=kept)
        return Selection(mask=kept, attract=false)
