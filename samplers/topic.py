"""Topical batches: the batch is drawn from one cluster of texts, so its negatives are related.

Source: Hofstätter et al. 2021, Efficiently Teaching an Effective Dense Retriever with Balanced
Topic Aware Sampling (TAS-B). https://arxiv.org/abs/2104.06967 The topic half of it;
``topic[then=balanced]`` balances by a teacher's margins too. The share of a batch that is topical
is our dial; in the released code it is 1. The mean size of a cluster is our number.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Interval, register
from nsbench.samplers._batched import Batched, leaves_batches


@register("topic")
class Topic(Batched):
    """Contrast within batches whose texts are of one topic.

    The anchors' texts are clustered once, by the encoder as it starts. What remains of a topic
    after its full batches is joined with what remains of others. With one cluster the batches are
    those of all other samplers.

    Args:
        texts_per_cluster: Mean number of distinct anchor texts per cluster, in [1, 1e9].
        share: Share of a batch that is of one topic, in [0, 1]; the rest is drawn from all.
        then: Which negatives of a batch count: a sampler, ``name[parameter=value,...]``.
    """

    texts_per_cluster: Annotated[float, Interval("[1, 1000000000.0]")] = 200.0
    share: Annotated[float, Interval("[0, 1]")] = 1.0
    then: Annotated[str, leaves_batches] = "in_batch"
    younger: ClassVar[frozenset[str]] = frozenset({"then"})
    test_configs: ClassVar = ({"share": 0.5}, {"then": "balanced"})
