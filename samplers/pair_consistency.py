"""Only pairs that hold up: the positive ranks among the first of all for its anchor.

Source: Nussbaum et al. 2024, Nomic Embed: Training a Reproducible Long Context Text Embedder, its
consistency filter with k = 2 among a million documents. https://arxiv.org/abs/2402.01613 It drops
pairs, not negatives: a batch holds rows that passed.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, register
from nsbench.samplers._batched import Batched, leaves_batches


@register("pair_consistency")
class PairConsistency(Batched):
    """Contrast within random batches of the rows whose positive is among the teacher's first ones.

    A cell fails if fewer rows pass than a batch holds. Data whose positives are their anchors pass
    whole.

    Args:
        places: Places at the top, of all texts that are positives, among which the row's own has
            to be, >= 1.
        teacher: Encoder that ranks; empty for the cell's own as it starts.
        then: Which negatives of a batch count: a sampler, ``name[parameter=value,...]``.
    """

    places: Annotated[int, Interval("[1, inf)")] = 2
    teacher: str = ""
    then: Annotated[str, leaves_batches] = "in_batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"teacher"})
    test_configs: ClassVar = ({"places": 50, "then": "hard[k=3]"},)
