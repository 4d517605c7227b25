"""The batch itself: every other text's view is a candidate.

Source: Henderson et al. 2017, Efficient Natural Language Response Suggestion for Smart Reply,
section 4.4 (multiple negatives). https://arxiv.org/abs/1705.00652
"""

from dataclasses import dataclass

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.contrast.world import World
from nsbench.samplers import one_of

DIRECTIONS = ("auto", "one", "both")


@register("in_batch")
@dataclass(frozen=True)
class InBatchPool:
    """The views of the other texts in the batch, and nothing else.

    Args:
        directions: ``one`` contrasts view 1 with view 2 (N = B), ``both`` all 2B views with all
            others (NT-Xent), ``auto`` what the objective estimates on.
    """

    directions: str = "auto"

    def __post_init__(self) -> None:
        one_of("in_batch", "directions", self.directions, DIRECTIONS)

    def open(self, world: World) -> OpenPool:
        return OpenPool()
