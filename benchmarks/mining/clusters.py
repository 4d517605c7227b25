"""Clusters of the training texts by a model, and the confidence in them.

Source: Chen et al. 2022, Incremental False Negative Detection for Contrastive Learning (IFND):
k-means with several numbers of clusters, trusted ever more. https://arxiv.org/abs/2106.03719
Texts that are equal after normalisation are clustered as one, so they always share a cluster.
"""

import logging
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.corpus import Corpus
from nsbench.benchmarks.search.by_faiss import (
    faiss_threads,
    flat_index,
    on_devices,
    resources_of,
)

Ints = NDArray[np.int64]

ITERATIONS = 20
_BLOCK = 4096
_WORKING = 256 << 20  # bytes, on a device
_log = logging.getLogger(__name__)


class TrustsClusters(Protocol):
    """Methods of a sampler that needs ``cluster_match``, such as `incremental`."""

    refreshes: int

    def clusters(self, texts: int) -> tuple[int, ...]:
        """Number of clusters at each of M levels for so many distinct texts."""
        ...

    def acceptance(self, progress: Tensor) -> Tensor:
        """0-dim share of the texts that is trusted at ``progress``."""
        ...

    def confidence(self, similarity: Tensor) -> Tensor:
        """``(n,)`` confidence of texts from their ``(n, K)`` cosine with the centroids."""
        ...

    def trusted(self, labels: Tensor, confidence: Tensor, progress: Tensor) -> Tensor:
        """Labels of the texts trusted at ``progress``, -1 for all others."""
        ...

    def match(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        """``(M, B, N)`` bool from ``(M, B)`` and ``(M, N)`` trusted labels."""
        ...


def spherical_kmeans(points: Tensor, clusters: int, seed: int) -> Tensor:
    """Centroids of points on the unit sphere, by faiss, on the points' device if it can.

    Args:
        points: ``(n, d)`` normalised.
        clusters: K, >= 1; with n or more, every point is a centroid.
        seed: Decides the first centroids.

    Returns:
        ``(K, d)`` normalised centroids on the points' device.

    Raises:
        ValueError: If a number is not finite.
    """
    if not bool(torch.isfinite(points).all()):
        raise ValueError("k-means: the embeddings hold NaN or infinite numbers")
    if clusters >= len(points):
        return points
    device = points.device
    with faiss_threads() as faiss:
        if device.type != "cpu" and not on_devices(faiss):
            _log.warning("k-means runs on the CPU: this faiss cannot use %s", device)
            device = torch.device("cpu")
        settings = faiss.ClusteringParameters()
        settings.niter, settings.spherical, settings.seed = ITERATIONS, True, seed % (1 << 31)
        settings.min_points_per_centroid = 1
        means = faiss.Clustering(points.shape[1], clusters, settings)
        resources = resources_of(faiss, device, _WORKING)
        index = flat_index(faiss, points.shape[1], device, resources)
        means.train(points.cpu().numpy(), index)
        found = faiss.vector_float_to_array(means.centroids).reshape(clusters, -1).copy()
    found = torch.from_numpy(found).to(points.device)
    return torch.nn.functional.normalize(found, dim=1)


def nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """``(n,)`` int64 most similar centroid of every point; ties go to the lower number."""
    parts = [(part @ centroids.T).argmax(dim=1) for part in points.split(_BLOCK)]
    return torch.cat(parts)


class ClusterMatch:
    """Trusted clusters of all texts, renewed several times during the training."""

    def __init__(self, sampler: TrustsClusters, world: World) -> None:
        self.sampler, self.world = sampler, world
        self.corpus = Corpus(world.data)
        self.group = torch.from_numpy(world.data.group).to(world.device)  # (T,)
        self.sizes = sampler.clusters(self.corpus.size)
        nothing = torch.full((len(self.sizes), self.corpus.size), -1, device=world.device)
        self.labels: Tensor | None = None  # (M, G) cluster of every distinct text
        self.trusted = nothing  # (M, G) the same for trusted texts, -1 for others

    def refresh(self, step: int, steps: int) -> None:
        """Cluster again at the first step and at equal distances after it.

        The schedule's course is spread over the refreshes: the last one trusts its end. While no
        text is to be trusted, nothing is clustered.
        """
        n = self.sampler.refreshes
        due = sorted({i * steps // n for i in range(n)})
        if step not in due:
            return
        # The first refresh is at the start of the schedule and the last at its end, so that any
        # number of them reaches it; one alone is at the end.
        progress = torch.tensor(due.index(step) / (len(due) - 1) if len(due) > 1 else 1.0)
        if float(self.sampler.acceptance(progress)) <= 0:
            return
        first = torch.from_numpy(self.corpus.text).to(self.world.device)
        points = self.world.embed(self.world.encoder)[first]  # (G, d)
        labels, trusted = [], []
        for level, size in enumerate(self.sizes):
            seed = self.world.seed_for(f"clusters {level}")
            centroids = spherical_kmeans(points, size, seed)
            own, confidence = self._judge(points, centroids)
            labels.append(own)
            trusted.append(self.sampler.trusted(own, confidence, progress.to(own.device)))
        self.world.note("cluster_refreshes", 1)
        self._note_agreement(torch.stack(labels))
        self.labels = torch.stack(labels)
        self.trusted.copy_(torch.stack(trusted))  # in its place: a recorded step reads it there

    def match(self, anchors: Tensor, candidates: Tensor) -> Tensor:
        """``(M, B, N)`` bool, True where both texts are trusted members of one cluster."""
        anchor, other = (self.trusted[:, self.group[texts]] for texts in (anchors, candidates))
        return self.sampler.match(anchor, other)

    def state(self) -> dict[str, Any]:
        """Everything a resumed cell needs."""
        return {"labels": self.labels, "trusted": self.trusted}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        device = self.world.device
        self.labels = None if state["labels"] is None else state["labels"].to(device)
        self.trusted.copy_(state["trusted"])

    def _judge(self, points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
        """Cluster and confidence of every point, block by block."""
        own, confidence = [], []
        for part in points.split(_BLOCK):
            similarity = part @ centroids.T
            own.append(similarity.argmax(dim=1))
            confidence.append(self.sampler.confidence(similarity))
        return torch.cat(own), torch.cat(confidence)

    def _note_agreement(self, labels: Tensor) -> None:
        """Normalised mutual information of old and new clusters: a sum over the refreshes."""
        if self.labels is None:
            return
        from sklearn.metrics import normalized_mutual_info_score

        self.world.note("cluster_comparisons", 1)
        for level, (old, new) in enumerate(zip(self.labels.cpu(), labels.cpu(), strict=True)):
            score = float(normalized_mutual_info_score(old.numpy(), new.numpy()))
            self.world.note(f"cluster_agreement_{level}", score)


def row_topics(world: World, points: Tensor, clusters: int, seed: int) -> Ints:
    """``(R,)`` cluster of each training row's anchor text.

    Args:
        world: The cell.
        points: ``(T, d)`` normalised embeddings of all texts.
        clusters: Number of clusters, >= 1.
        seed: Of the k-means.
    """
    corpus = Corpus(world.data)
    distinct = points[torch.from_numpy(corpus.text).to(points.device)]
    labels: Ints = nearest(distinct, spherical_kmeans(distinct, clusters, seed)).cpu().numpy()
    return labels[corpus.anchor]
