"""All candidates but one percentile band of the difficulty ranking.

Source: Cai et al. 2020, Are all negatives created equal in contrastive instance discrimination?
(CID), the experiments that remove the hardest share. https://arxiv.org/abs/2010.06682
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, Selection, SimilarityContext, register
from nsbench.samplers._bands import in_band


@register("drop_band")
class DropBand:
    """Keep the candidates that `band` with the same ends would leave out.

    A row whose candidates all fall into the band keeps none.

    Args:
        low: Lower end of what is dropped, as a share of the ranking, in [0, 1); 0 is the hardest.
        high: Upper end of what is dropped, in (low, 1]; not 1 if low is 0.
    """

    low: Annotated[float, Interval("[0, 1)")] = 0.0
    high: Annotated[float, Interval("(low, 1]")] = 0.05
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"low", "high"})
    test_configs: ClassVar = ({"low": 0.5, "high": 1.0}, {"high": 0.5})

    def __post_init__(self) -> None:
        if self.low == 0 and self.high == 1:
            raise ValueError("drop_band: low = 0 with high = 1 drops every negative")

    def __call__(self, context: SimilarityContext) -> Selection:
        kept = context.negative_mask & ~in_band(context, self.low, self.high)
        return Selection(mask=kept)
