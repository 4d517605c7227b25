"""The batch itself: every other text's view is a candidate.

Source: Henderson et al. 2017, Efficient Natural Language Response Suggestion for Smart Reply,
section 4.4 (multiple negatives). https://arxiv.org/abs/1705.00652
"""

from typing import ClassVar

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.contrast.directions import checked
from nsbench.benchmarks.contrast.world import World


@register("in_batch")
class InBatchPool:
    """The views of the other texts in the batch, and nothing else.

    Args:
        directions: ``one`` contrasts view 1 with view 2 (N = B), ``both`` all 2B views with all
            others (NT-Xent), ``auto`` what the objective estimates on; or a set of directions from
            queries (view 1) and documents (view 2), such as ``q_d+q_q+d_q+d_d``.
        partition: Of a set: ``joint``, one softmax over all, or ``per_direction``, one each.
        positives: Of a joint set with ``d_q``: ``once``, or ``paper``: the positive is in the
            sum a second time, as document to query (GTE, sentence-transformers).
    """

    directions: str = "auto"
    partition: str = "joint"
    positives: str = "once"
    younger: ClassVar[frozenset[str]] = frozenset({"partition", "positives"})
    test_configs: ClassVar = (
        {"directions": "q_d+q_q+d_q+d_d", "positives": "paper"},
        {"directions": "q_d+d_q", "partition": "per_direction"},
    )

    def __post_init__(self) -> None:
        checked(self.directions, self.partition, self.positives)

    def open(self, world: World) -> OpenPool:
        return OpenPool()
