"""Mined batches: communities of rows that a teacher ranks high for each other, but not highest.

Source: Thirukovalluru et al. 2025, Breaking the Batch Barrier (B3) of Contrastive Learning via
Smart Batch Mining. https://arxiv.org/abs/2505.11293 There the places are 30 to 130 (70 to 170 for
questions about images) and METIS cuts the communities; here they grow greedily, to equal size. The
skipped places should follow how many rows share a meaning: what is skipped too little is false.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, register
from nsbench.samplers._batched import Batched, leaves_batches


@register("communities")
class Communities(Batched):
    """Contrast within batches of communities (B3): rows that rank each other in a window.

    Args:
        size: Rows of a community, K, >= 1; divides the batch. 1 gives random batches.
        skip: Places skipped at the top of a row's ranking, p, >= 0.
        width: Places behind those that count, m, >= 1.
        teacher: Encoder that ranks; empty for the cell's own as it starts.
        then: Which negatives of a batch count: a sampler, ``name[parameter=value,...]``.
    """

    size: Annotated[int, Interval("[1, inf)")] = 32
    skip: Annotated[int, Interval("[0, inf)")] = 30
    width: Annotated[int, Interval("[1, inf)")] = 100
    teacher: str = ""
    then: Annotated[str, leaves_batches] = "in_batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"teacher"})
    test_configs: ClassVar = ({"size": 2, "then": "margin_mask"},)

    def why_not(self, batch_size: int) -> str:
        """Say why batches of that size cannot be made, or nothing."""
        if batch_size % self.size == 0:
            return ""
        return f"communities of {self.size} rows do not fill batches of {batch_size}"
