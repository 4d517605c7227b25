"""Build the optional fields of a context that the ``needs`` of a sampler or objective name.

Two of them need work on the host between steps. ``guide_similarity`` is the cosine of texts by a
frozen second model: the encoder that the sampler's attribute ``guide`` names, or else the cell's
encoder before training. ``cluster_match`` polls a sampler that answers as
`mining.clusters.TrustsClusters`, also one held in the parameter ``inner`` or ``then``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.contrast.context import Contrast
from nsbench.benchmarks.contrast.views import joined
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.mining.centres import Centres
from nsbench.benchmarks.mining.clusters import ClusterMatch
from nsbench.benchmarks.mining.guides import guide_embeddings
from nsbench.benchmarks.mining.judge import Judge
from nsbench.benchmarks.objectives._embedded import compared
from nsbench.samplers import (
    EXTRAS,
    Objective,
    Sampler,
    SimilarityContext,
    samplers,
    suggest,
)


class Extras:
    """Builds what one sampler needs beyond similarities.

    Args:
        sampler: Whose ``needs`` are read.
        world: The cell, for host hooks.
        objective: Whose ``needs`` are read as well.

    Raises:
        ValueError: If ``needs`` names an unknown extra, or no sampler can be polled on clusters.
    """

    def __init__(self, sampler: Sampler, world: World, objective: Objective | None = None) -> None:
        self.sampler = sampler
        self.objective = objective
        self.world = world
        self.needs = frozenset(getattr(sampler, "needs", ()))
        self.needs |= frozenset(getattr(objective, "needs", ()))
        for name in self.needs:
            if name not in EXTRAS:
                raise ValueError(f"no extra is called {name!r}. {suggest(name, EXTRAS)}")
        if hasattr(sampler, "synthesize"):
            self.needs |= {"anchors", "candidates"}
        self.guide: Tensor | None = None  # (T, g) normalised, by the guide
        self.share: Tensor | None = None  # (T,) share of the rows that hold a text
        self.clusters: ClusterMatch | None = None
        if "cluster_match" in self.needs:
            trusting = holding(sampler, "trusted")
            if trusting is None:
                raise ValueError(f"{sampler!r} needs cluster_match, but lacks `trusted`")
            self.clusters = ClusterMatch(trusting, world)
        self.judge: Judge | None = None
        self.centres: Centres | None = None
        if "centres" in self.needs:
            following = holding(sampler, "start_below")
            self.centres = Centres(following, world.encoder.dimension, world.device)

    def start(self) -> None:
        """Embed all texts by the guide and count rows, once, before the first step."""
        if "frequency" in self.needs and self.share is None:
            self.share = row_share_of(self.world.data).to(self.world.device)
        if "guide_similarity" in self.needs and self.guide is None:
            named = holding(self.sampler, "guide")
            name = str(getattr(named, "guide", "") or getattr(self.objective, "guide", ""))
            self.guide = guide_embeddings(self.world, name)
        if "own_score" in self.needs and self.judge is None:
            self.judge = Judge(holding(self.sampler, "scorer").scorer, self.world)

    def refresh(self, step: int, steps: int) -> None:
        """Do the host work of a step: the guide's embeddings once, clusters when due."""
        self.start()
        if self.clusters is not None:
            self.clusters.refresh(step, steps)

    def lower(
        self, views: tuple[TokenView, TokenView], passes: dict[str, float]
    ) -> dict[str, Tensor]:
        """``(L, d)`` embeddings of both views by the layer below the last, where they are needed.

        The mean over the last two layers is a mean of two means, so that the lower one is twice
        that less the last one's. Dropout is off.
        """
        if "lower" not in self.needs:
            return {}
        encoder = self.world.encoder
        whole = joined(views).replace(dropout=0.0)
        with torch.no_grad():
            two, last = (encoder(whole.replace(pooling=p)) for p in ("last2_mean", "mean"))
        passes["passes_lower"] = 2 * len(whole.ids)
        return {"lower": functional.normalize(2 * two.float() - last.float(), dim=-1)}

    def own_scores(self, anchors: Tensor, more: Tensor | None, given: int) -> Tensor | None:
        """``(E,)`` scores of a batch's given and mined negatives; ``None`` where no one asks.

        Args:
            anchors: ``(B,)`` texts, on the host.
            more: ``(E,)`` texts, on the host: those given to each row, then those mined for each.
            given: Given negatives per row.
        """
        if self.judge is None or more is None:
            return None
        size = len(anchors) * given
        parts = [part.reshape(len(anchors), -1) for part in (more[:size], more[size:]) if len(part)]
        scores = self.judge.scores(anchors, torch.cat(parts, dim=1))
        split = scores.split([part.shape[1] for part in parts], dim=1)
        return torch.cat([part.flatten() for part in split])

    def state(self) -> dict[str, Any]:
        """Return everything a resumed cell needs that `start` does not compute again."""
        kept = {"clusters": self.clusters, "centres": self.centres}
        return {name: part.state() for name, part in kept.items() if part is not None}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        if self.clusters is not None:
            self.clusters.load(state["clusters"])
        if self.centres is not None:
            self.centres.load(state["centres"])

    def add(self, context: SimilarityContext, contrast: Contrast) -> SimilarityContext:
        """Return the context with the extras that were asked for.

        Those of the anchors' rows, ``grade`` and ``memory``, are the step's to add.
        """
        built = {name: make for name, make in _BUILT.items() if name in self.needs}
        return context.replace(
            **{name: make(self, contrast, context.similarity) for name, make in built.items()}
        )

    def _guide(self, contrast: Contrast) -> Tensor:
        """``(B, N)`` cosine by the guide."""
        assert self.guide is not None, "start() comes first"
        return compared(
            self.guide[contrast.anchor_texts],
            self.guide[contrast.column_texts],
            self.guide[contrast.positive_texts],
            contrast.of_positive,
        )

    def _frequency(self, contrast: Contrast) -> Tensor:
        """``(N,)`` share of the rows that hold the candidate's text."""
        if self.share is None:
            raise ValueError("context.frequency needs the training data, which is not known here")
        return self.share[contrast.column_texts]

    def _clusters(self, contrast: Contrast) -> Tensor:
        """``(M, B, N)`` bool, True where both fell into the same trusted cluster."""
        assert self.clusters is not None
        return self.clusters.match(contrast.anchor_texts, contrast.column_texts)

    def _centres(self, contrast: Contrast, similarity: Tensor) -> Tensor:
        """``(K, d)`` centres after this batch has moved them."""
        assert self.centres is not None
        return self.centres.follow(contrast.anchors.detach(), similarity)

    def _token_overlap(self, contrast: Contrast) -> Tensor:
        """``(B, N)`` Jaccard overlap of token sets with the nearer of anchor and positive."""
        columns = self._token_sets(contrast.column_texts)
        anchor = self._jaccard(self._token_sets(contrast.anchor_texts), columns)
        positive = self._jaccard(self._token_sets(contrast.positive_texts), columns)
        return torch.maximum(anchor, positive)

    def _token_sets(self, texts: Tensor) -> Tensor:
        """``(B, V)``, 1 where the text holds the token, else 0; special tokens do not count."""
        tokens, (head, tail) = self.world.tokens, getattr(self.world.encoder, "specials", (0, 0))
        head += getattr(tokens, "prompt", 0)  # as are those of a prompt
        ids, mask = tokens.rows(texts, int(tokens.ids.shape[1]))
        if head or tail:
            place = torch.arange(ids.shape[1], device=ids.device)
            last = mask.sum(dim=1, keepdim=True) - tail
            mask = mask & (place >= head) & (place < last)
        empty = torch.zeros(len(texts), tokens.vocabulary, device=ids.device)
        return empty.scatter_reduce_(1, ids, mask.float(), "amax")

    @staticmethod
    def _jaccard(left: Tensor, right: Tensor) -> Tensor:
        common = left @ right.T  # (B, N), exact: counts are small whole numbers
        total = left.sum(dim=1)[:, None] + right.sum(dim=1)[None, :]
        return common / (total - common).clamp(min=1)


_BUILT: dict[str, Callable[[Extras, Contrast, Tensor], Tensor]] = {
    "anchors": lambda extras, contrast, similarity: contrast.anchors.detach(),
    "candidates": lambda extras, contrast, similarity: contrast.columns.detach(),
    "guide_similarity": lambda extras, contrast, similarity: extras._guide(contrast),
    "support_similarity": lambda extras, contrast, similarity: _support(contrast, similarity),
    "token_overlap": lambda extras, contrast, similarity: extras._token_overlap(contrast),
    "cluster_match": lambda extras, contrast, similarity: extras._clusters(contrast),
    "own_negative": lambda extras, contrast, similarity: contrast.own_negative,
    "rows": lambda extras, contrast, similarity: torch.where(
        contrast.valid, contrast.column_texts, -1
    ),
    "frequency": lambda extras, contrast, similarity: extras._frequency(contrast),
    "of_positive": lambda extras, contrast, similarity: _other_side(contrast),
    "centres": lambda extras, contrast, similarity: extras._centres(contrast, similarity),
}
"""Builders of all `EXTRAS` but ``truth``, which every context of a cell has, and those of rows."""


def _other_side(contrast: Contrast) -> Tensor:
    """``(N,)`` bool, True where the candidate is compared with the positive."""
    flags = contrast.of_positive
    return torch.zeros_like(contrast.valid) if flags is None else flags


def _support(contrast: Contrast, similarity: Tensor) -> Tensor:
    """``(B, N)`` largest cosine of each candidate to the anchor or to its positive view."""
    columns = contrast.columns.detach()
    return torch.maximum(similarity, columns[contrast.positive] @ columns.T)


def holding(sampler: Sampler, attribute: str) -> Any:
    """Return the sampler with an attribute: this one, one it holds in a parameter, or ``None``."""
    held: Any = sampler
    while not hasattr(held, attribute):
        text = getattr(held, "inner", None) or getattr(held, "then", None)
        if not isinstance(text, str):
            return None
        held = samplers.read(text)
    return held


def spares_copies(sampler: Sampler) -> bool:
    """Ask a sampler, or its inner one, if texts equal to the positive may be chosen."""
    return bool(getattr(holding(sampler, "positive_copies"), "positive_copies", False))


def row_share_of(data: TrainingData) -> Tensor:
    """``(T,)`` float32 share of the rows that hold a text: as anchor, or else as a candidate.

    Equal texts count together. Of the share as anchor and the share as positive or given negative
    the larger one counts; a text of no row counts as if it stood in one.
    """
    sides = (data.anchor, np.concatenate([data.positive, data.negatives[data.negatives >= 0]]))
    groups = int(data.group.max(initial=0)) + 1
    counts = [np.bincount(data.group[side], minlength=groups) for side in sides]
    most = np.maximum(np.maximum(*counts), 1) / max(1, data.rows)
    return torch.from_numpy(np.minimum(most, 1).astype(np.float32)[data.group])


def spread_scores(contrast: Contrast, scores: Tensor) -> Tensor:
    """``(N,)`` score of every column that an anchor owns, 0 for others.

    Args:
        contrast: The batch's columns; those that are owned lie in the order of the scores.
        scores: ``(E,)`` of each owned column.
    """
    owned = contrast.owner >= 0  # (N,)
    place = (owned.cumsum(0) - 1).clamp(min=0, max=len(scores) - 1)
    return torch.where(owned, scores[place], torch.zeros_like(scores[place]))
