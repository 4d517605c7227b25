"""Mined batches: rows that a random walk over near rows visits.

Source: Yang et al. 2023, BatchSampler: Sampling Mini-Batches for Contrastive Learning in Vision,
Language, and Graphs. https://arxiv.org/abs/2306.03355 Between random batches (far neighbours) and
nearest-neighbour batches (a walk that always goes on from its start). Where our walk differs from
the released code, the module that walks says.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, register
from nsbench.samplers._batched import Batched, leaves_batches


@register("random_walk")
class RandomWalk(Batched):
    """Contrast within batches that a random walk with restart visits (BatchSampler).

    Args:
        among: Random rows of which a row's neighbours are the nearest, M, >= 1.
        neighbours: Neighbours of a row, K, from 1 to ``among``.
        restart: Chance of a step that goes on from the start, in [0, 1].
        teacher: Encoder that says what is near; empty for the cell's own as it starts.
        then: Which negatives of a batch count: a sampler, ``name[parameter=value,...]``.
    """

    among: Annotated[int, Interval("[1, inf)")] = 1000
    neighbours: Annotated[int, Interval("[1, inf)")] = 100
    restart: Annotated[float, Interval("[0, 1]")] = 0.1
    teacher: str = ""
    then: Annotated[str, leaves_batches] = "in_batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"teacher"})
    test_configs: ClassVar = ({"restart": 1.0, "then": "hard[k=3]"},)

    def __post_init__(self) -> None:
        if self.neighbours > self.among:
            raise ValueError(
                f"random_walk: neighbours is {self.neighbours}, more than among, {self.among}"
            )
