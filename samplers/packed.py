"""Batches packed from clusters, neighbouring clusters side by side.

Source: Morris and Rush 2024, Contextual Document Embeddings (CDE), its batches.
https://arxiv.org/abs/2410.02525 Rows are clustered by which documents their queries are near to;
the clusters are put in line, each before the nearest that is left, and the line is cut. Where
`topic` fills a batch from one cluster and throws the rest together, here what is left of a cluster
meets its neighbours. Its filter is ``guided[curated=exempt]``: a surrogate's score drops the
candidates that look like positives, but never an anchor's own hard negatives.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, register
from nsbench.samplers._batched import Batched, leaves_batches


@register("packed")
class Packed(Batched):
    """Contrast within batches cut from clusters in line (CDE).

    Args:
        rows_per_cluster: Mean number of rows of a cluster, in [1, 1e9].
        teacher: Encoder that says what is near; empty for the cell's own as it starts.
        then: Which negatives of a batch count: a sampler, ``name[parameter=value,...]``; CDE's is
            ``guided[curated=exempt]``.
    """

    rows_per_cluster: Annotated[float, Interval("[1, 1000000000.0]")] = 64.0
    teacher: str = ""
    then: Annotated[str, leaves_batches] = "in_batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"teacher"})
    test_configs: ClassVar = ({"then": "guided[curated=exempt]"},)
