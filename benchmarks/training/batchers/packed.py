"""Batches cut from a line of clusters, each cluster before the nearest that is left.

Source: Morris and Rush 2024, Contextual Document Embeddings (CDE), and the released code, which
orders clusters greedily from a random one. https://arxiv.org/abs/2410.02525 Every epoch starts from
another cluster, shuffles the rows of each, and shuffles the batches.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.clusters import nearest, spherical_kmeans
from nsbench.benchmarks.mining.neighbours import Ints, teacher_views


def in_line(centroids: Tensor, start: int) -> list[int]:
    """Clusters in an order in which each is followed by the nearest that is left.

    Args:
        centroids: ``(K, d)`` normalised.
        start: The first.
    """
    far = 2 - centroids @ centroids.T  # (K, K)
    out = [start]
    free = torch.ones(len(centroids), dtype=torch.bool, device=centroids.device)
    while len(out) < len(centroids):
        free[out[-1]] = False
        out.append(int(far[out[-1]].masked_fill(~free, torch.inf).argmin()))
    return out


def packed_batches(label: Ints, centroids: Tensor, batch_size: int, seed: int) -> Iterator[Ints]:
    """Yield batches without end, every row at most once an epoch.

    Args:
        label: ``(R,)`` cluster of every row.
        centroids: ``(K, d)`` normalised.
        batch_size: B, at most R.
        seed: Decides every start and shuffle.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(label == cluster) for cluster in range(len(centroids))]
    count = len(label) // batch_size
    while True:
        order = in_line(centroids, int(rng.integers(len(centroids))))
        line = np.concatenate([rng.permutation(members[cluster]) for cluster in order])
        yield from rng.permutation(line[: count * batch_size].reshape(count, batch_size))


def packed(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    """The batches of the sampler `packed`."""
    anchors, positives = teacher_views(world, params["teacher"])
    clusters = max(1, round(world.data.rows / params["rows_per_cluster"]))
    centroids = spherical_kmeans(positives, clusters, world.seed_for("topics"))
    label = nearest(anchors, centroids).cpu().numpy()
    return packed_batches(label, centroids, world.batch_size, world.seed_for("batches"))
