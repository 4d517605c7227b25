"""A share of the negatives removed at random: the effect of removal without judgement.

Source: ours, as the control for every method that removes false negatives, which also lowers the
number of negatives; cf. the count controls missing from Cai et al. 2020.
https://arxiv.org/abs/2010.06682
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register
from nsbench.samplers._bands import boundary
from nsbench.samplers._inner import inner_sampler


@register("random_removal")
class RandomRemoval:
    """Drop some candidates at random, as many as a share says or as another sampler drops.

    Of n eligible candidates ceil(share * n) go, as many as ``drop_band(high=share)`` drops. A row
    that loses all of them keeps none.

    Args:
        share: Share of the eligible candidates to drop, in [0, 1); read if ``like`` is ``none``.
        like: A sampler, ``name`` or ``name[parameter=value]``: in every row as many are dropped
            as it leaves out there. ``none`` for a fixed share.
    """

    share: Annotated[float, Interval("[0, 1)")] = 0.05
    like: str = "none"
    stochastic: ClassVar[bool] = True
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"share"})
    test_configs: ClassVar = (
        {"like": "semi_hard"},
        {"like": "fn_cancel[threshold=0.2]"},
        {"like": "incremental"},
    )

    def __post_init__(self) -> None:
        if self.like != "none":
            inner = inner_sampler("random_removal", "like", self.like)
            if hasattr(inner, "synthesize"):
                raise ValueError(f"random_removal: like is {self.like!r}, which makes negatives")

    @property
    def needs(self) -> frozenset[str]:
        """The extras that the counted sampler reads."""
        if self.like == "none":
            return frozenset()
        return frozenset(getattr(inner_sampler("random_removal", "like", self.like), "needs", ()))

    def __call__(self, context: SimilarityContext) -> Selection:
        lot = context.ranks(context.uniform())  # (B, N)
        if self.like == "none":
            count = boundary(self.share, context.eligible)  # (B, 1)
        else:
            kept = inner_sampler("random_removal", "like", self.like)(context).mask
            count = context.eligible - kept.sum(dim=-1, keepdim=True)  # ([M,] B, 1)
        return Selection(mask=context.negative_mask & (lot >= count))
