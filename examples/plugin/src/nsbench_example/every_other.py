"""Every other candidate of the ranking.

Source: an example of a plugin, from nsbench's own repository.
"""

from dataclasses import dataclass

from nsbench.samplers import Selection, SimilarityContext, at_least


@dataclass(frozen=True)
class EveryOther:
    """Keep each candidate whose rank is a multiple of a step.

    Args:
        step: Distance between kept ranks, >= 1.
    """

    step: int = 2

    def __post_init__(self) -> None:
        at_least("every_other", "step", self.step, 1)

    def __call__(self, context: SimilarityContext) -> Selection:
        """Rank 0 is the most similar candidate that may be a negative."""
        return Selection(mask=context.negative_mask & (context.ranks() % self.step == 0))
