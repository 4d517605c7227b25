"""False negatives are what shares a trusted cluster; trust grows as the encoder improves.

Source: Chen et al. 2022, Incremental False Negative Detection for Contrastive Learning.
https://arxiv.org/abs/2106.03719 The paper's body and code were not at hand: hierarchical k-means,
elimination and attraction are as its abstract says; confidence, schedule and the number of
clusters are ours, and parameters.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, places, register
from nsbench.samplers._schedule import SCHEDULES, interpolate


@register("incremental")
class Incremental:
    """Drop, or attract, candidates in the anchor's own trusted cluster, level by level.

    At each refresh all training texts are clustered, once per level; the most confident members
    are trusted, all others form no cluster. The loss is averaged over levels. A row keeps none if
    all of its candidates share its cluster.

    Args:
        mode: ``elimination``: false negatives are dropped; ``attraction``: they become positives.
        texts_per_cluster: Mean size of a cluster, one number per level, each > 1.
        start: Share of the texts that is trusted at the start, in [0, 1].
        end: Share of the texts that is trusted from the last refresh on, in [0, 1].
        schedule: Course of the share: ``linear``, ``cosine`` or ``step``.
        sharpness: Temperature of the confidence, a softmax over centroids, in (0, 10].
        refreshes: Number of times the texts are clustered during the training, at equal distances
            from the first step on, in [1, 10000]; 1 trusts the share ``end`` from the start.
    """

    mode: Annotated[str, Choice("elimination", "attraction")] = "elimination"
    texts_per_cluster: Annotated[tuple[float, ...], Interval("(1, 1e9]")] = (200.0, 50.0, 10.0)
    start: Annotated[float, Interval("[0, 1]")] = 0.0
    end: Annotated[float, Interval("[0, 1]")] = 1.0
    schedule: Annotated[str, Choice(*SCHEDULES)] = "linear"
    sharpness: Annotated[float, Interval("(0, 10]")] = 0.1
    refreshes: Annotated[int, Interval("[1, 10000]")] = 10
    needs: ClassVar[frozenset[str]] = frozenset({"cluster_match"})
    may_empty: ClassVar[bool] = True
    test_configs: ClassVar = ({"mode": "attraction"},)

    def __post_init__(self) -> None:
        if not self.texts_per_cluster:
            raise ValueError("incremental: texts_per_cluster must name at least one level")

    def __call__(self, context: SimilarityContext) -> Selection:
        match = context.require("cluster_match")  # (M, B, N)
        false = context.negative_mask & match
        kept = context.negative_mask & ~match
        if self.mode == "elimination":
            return Selection(mask=kept)
        return Selection(mask=kept, attract=false)

    # What the host hook that builds `cluster_match` asks at a refresh.

    def clusters(self, texts: int) -> tuple[int, ...]:
        """Number of clusters at each level for so many texts, at least 2, at most ``texts``."""
        sizes = self.texts_per_cluster
        return tuple(min(max(2, round(texts / size)), max(1, texts)) for size in sizes)

    def acceptance(self, progress: Tensor) -> Tensor:
        """0-dim share of the texts that is trusted at ``progress``."""
        return interpolate(self.start, self.end, progress, self.schedule)

    def confidence(self, similarity: Tensor) -> Tensor:
        """``(T,)`` softmax share of each text's nearest centroid.

        Args:
            similarity: ``(T, K)`` cosine of texts and centroids.
        """
        return (similarity.float() / self.sharpness).softmax(dim=1).amax(dim=1)

    def trusted(self, labels: Tensor, confidence: Tensor, progress: Tensor) -> Tensor:
        """Labels of the most confident texts, -1 for all others.

        Args:
            labels: ``(T,)`` int64 cluster of each text.
            confidence: ``(T,)``; ties go to the text of lower number.
            progress: 0-dim, decides how many: the acceptance share of T, rounded down.
        """
        count = torch.floor(self.acceptance(progress) * len(labels) + 1e-4)
        rank = places(confidence.argsort(descending=True, stable=True))
        return torch.where(rank < count, labels, torch.full_like(labels, -1))

    @staticmethod
    def match(anchors: Tensor, candidates: Tensor) -> Tensor:
        """``(M, B, N)`` bool: both trusted, and in the same cluster.

        Args:
            anchors: ``(M, B)`` trusted labels of the anchors, -1 for none.
            candidates: ``(M, N)`` trusted labels of the candidates, -1 for none.
        """
        same = anchors[:, :, None] == candidates[:, None, :]
        return same & (anchors[:, :, None] >= 0)
