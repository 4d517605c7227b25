"""One percentile band of the difficulty ranking, and nothing else.

Source: Cai et al. 2020, Are all negatives created equal in contrastive instance discrimination?
(CID), the experiments that keep only the hardest or easiest share.
https://arxiv.org/abs/2010.06682 The rounding of a share to a count, upwards, is ours.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register
from nsbench.samplers._bands import in_band


@register("band")
class Band:
    """Keep the candidates ranked in [low, high) of all, 0 being the hardest.

    Of n eligible candidates, ranks ceil(low * n) up to but not including ceil(high * n) stay, so
    adjoining bands partition the row. A narrow band over a small pool may keep none.

    Args:
        low: Lower end as a share of the ranking, in [0, 1); 0 is the hardest.
        high: Upper end as a share of the ranking, in (low, 1].
    """

    low: Annotated[float, Interval("[0, 1)")] = 0.0
    high: Annotated[float, Interval("(low, 1]")] = 0.05
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"low", "high"})
    test_configs: ClassVar = ({"low": 0.05, "high": 0.5}, {"high": 1.0}, {"low": 0.95, "high": 1.0})

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=in_band(context, self.low, self.high))
