"""Mined batches: all rows in an order that keeps near rows together, cut into batches.

Source: Sachidananda et al. 2023, Global Selection of Contrastive Batches via Optimization on
Sample Permutations (GCBS). https://proceedings.mlr.press/v202/sachidananda23a.html Cheap, and the
batches are among the hardest there are: many of an anchor's hardest negatives are false ones.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, register
from nsbench.samplers._batched import Batched, leaves_batches


@register("bandwidth")
class Bandwidth(Batched):
    """Contrast within batches cut from the reverse Cuthill-McKee order of near rows (GCBS).

    Args:
        neighbours: Nearest rows that a row is joined to, >= 1.
        teacher: Encoder that says what is near; empty for the cell's own as it starts.
        then: Which negatives of a batch count: a sampler, ``name[parameter=value,...]``.
    """

    neighbours: Annotated[int, Interval("[1, inf)")] = 10
    teacher: str = ""
    then: Annotated[str, leaves_batches] = "in_batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"teacher"})
    test_configs: ClassVar = ({"neighbours": 100, "then": "threshold_mask"},)
