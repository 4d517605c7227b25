"""Centres of clusters that follow the anchors of a training, step by step.

Source: Deng et al. 2023, Clustering-Aware Negative Sampling for Unsupervised Sentence
Representation (ClusterNS), and its released code. https://arxiv.org/abs/2305.09892 There the first
centres are a chain of far apart anchors of one batch; here they are the first anchors of it, which
are random rows.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize


class FollowsCentres(Protocol):
    """Parameters of a sampler that needs ``centres``, such as `cluster_negatives`."""

    clusters: int
    momentum: float
    start_below: float
    variant: str


class Centres:
    """Online k-means on the sphere; all centres are 0 until the batch has spread out.

    Nothing waits for the device, so that a recorded step can be replayed.
    """

    def __init__(self, settings: FollowsCentres, dimension: int, device: torch.device) -> None:
        self.settings = settings
        self.values = torch.zeros(settings.clusters, dimension, device=device)
        self.started = torch.zeros((), dtype=torch.bool, device=device)

    def follow(self, anchors: Tensor, similarity: Tensor) -> Tensor:
        """Move the centres by one batch and return them, ``(K, d)`` normalised or all 0.

        Args:
            anchors: ``(B, d)`` normalised, detached, B >= K.
            similarity: ``(B, N)`` whose mean says if it is time to begin.

        Raises:
            ValueError: If a batch holds fewer anchors than there are centres.
        """
        count = len(self.values)
        if len(anchors) < count:
            raise ValueError(
                f"clusters is {count}, more than the {len(anchors)} anchors of a batch"
            )
        anchors = anchors.float()
        begin = ~self.started & (similarity.mean() <= self.settings.start_below)
        moved = self._moved(anchors)
        kept = torch.where(self.started, moved, self.values)
        self.values.copy_(torch.where(begin, anchors[:count], kept))
        self.started.copy_(self.started | begin)
        return normalize(self.values, dim=1)

    def _moved(self, anchors: Tensor) -> Tensor:
        """``(K, d)`` the centres after a step towards their members' mean, or sum."""
        label = (anchors @ normalize(self.values, dim=1).T).argmax(dim=1)  # (B,)
        member = torch.nn.functional.one_hot(label, len(self.values)).to(anchors.dtype)  # (B, K)
        size = member.sum(dim=0)[:, None]  # (K, 1)
        target = member.T @ anchors
        if self.settings.variant == "paper":
            target = target / size.clamp(min=1)
        target = torch.where(size > 0, target, self.values)
        share = self.settings.momentum
        return share * target + (1 - share) * self.values

    def state(self) -> dict[str, Any]:
        """Return everything a resumed cell needs."""
        return {"values": self.values, "started": self.started}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self.values.copy_(state["values"])
        self.started.copy_(state["started"])
