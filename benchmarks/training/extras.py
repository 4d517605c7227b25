"""The optional fields of a context, each built only if the sampler's ``needs`` names it.

Two of them need work on the host between steps. ``guide_similarity`` is the cosine of texts by a
frozen second model: the encoder that the sampler's attribute ``guide`` names, or else the cell's
own encoder as it starts. ``cluster_match`` asks a sampler that answers as
`mining.clusters.TrustsClusters`; a sampler that holds another one in its parameter
``inner`` or ``then`` is asked through it.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.context import Contrast
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.mining.clusters import ClusterMatch
from nsbench.benchmarks.mining.guides import guide_embeddings
from nsbench.benchmarks.objectives._embedded import compared
from nsbench.samplers import (
    EXTRAS,
    Objective,
    Sampler,
    SimilarityContext,
    make,
    parse_choice,
    suggest,
)


class Extras:
    """Builds what one sampler needs beyond similarities.

    Args:
        sampler: Whose ``needs`` are read.
        world: What host hooks may look at.
        objective: Whose ``needs`` are read as well.

    Raises:
        ValueError: If ``needs`` names something that is no extra.
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
            self.clusters = ClusterMatch(holding(sampler, "trusted"), world)

    def start(self) -> None:
        """Host work before the first step: the guide's embeddings, once."""
        if "frequency" in self.needs and self.share is None:
            self.share = row_share_of(self.world.data).to(self.world.device)
        if "guide_similarity" in self.needs and self.guide is None:
            named = holding(self.sampler, "guide", default=None)
            name = str(getattr(named, "guide", "") or getattr(self.objective, "guide", ""))
            self.guide = guide_embeddings(self.world, name)

    def refresh(self, step: int, steps: int) -> None:
        """Host work before a step: the guide's embeddings once, clusters where they are due."""
        self.start()
        if self.clusters is not None:
            self.clusters.refresh(step, steps)

    def state(self) -> dict[str, Any]:
        """What a resumed cell needs beside what `start` makes again."""
        return {} if self.clusters is None else self.clusters.state()

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        if self.clusters is not None:
            self.clusters.load(state)

    def add(
        self, context: SimilarityContext, contrast: Contrast, views: Iterable[Tensor]
    ) -> SimilarityContext:
        """The context with the extras the sampler asked for."""
        made: dict[str, Tensor] = {}
        if "anchors" in self.needs:
            made["anchors"] = contrast.anchors.detach()
        if "candidates" in self.needs:
            made["candidates"] = contrast.columns.detach()
        if "rows" in self.needs:
            made["rows"] = torch.where(contrast.valid, contrast.column_texts, -1)
        if "frequency" in self.needs:
            made["frequency"] = self._frequency()[contrast.column_texts]
        if "of_positive" in self.needs:
            flags = contrast.of_positive
            made["of_positive"] = torch.zeros_like(contrast.valid) if flags is None else flags
        if "own_negative" in self.needs:
            made["own_negative"] = contrast.own_negative
        if self.guide is not None:
            columns = self.guide[contrast.column_texts]
            made["guide_similarity"] = compared(
                self.guide[contrast.anchor_texts],
                columns,
                self.guide[contrast.positive_texts],
                contrast.of_positive,
            )
        if self.clusters is not None:
            made["cluster_match"] = self.clusters.match(
                contrast.anchor_texts, contrast.column_texts
            )
        if "token_overlap" in self.needs:
            made["token_overlap"] = self._token_overlap(contrast)
        if "support_similarity" in self.needs:
            made["support_similarity"] = self._support(contrast, context.similarity)
        return context.replace(**made)

    def _frequency(self) -> Tensor:
        if self.share is None:
            raise ValueError("context.frequency needs the training data, which is not known here")
        return self.share

    def _support(self, contrast: Contrast, similarity: Tensor) -> Tensor:
        """Largest cosine of each candidate to the anchor or to its positive view."""
        columns = contrast.columns.detach()
        positive = columns[contrast.positive] @ columns.T
        return torch.maximum(similarity, positive)

    def _token_overlap(self, contrast: Contrast) -> Tensor:
        """Jaccard overlap of token sets with the nearer of anchor and positive."""
        columns = self._token_sets(contrast.column_texts)
        anchor = self._jaccard(self._token_sets(contrast.anchor_texts), columns)
        positive = self._jaccard(self._token_sets(contrast.positive_texts), columns)
        return torch.maximum(anchor, positive)

    def _token_sets(self, texts: Tensor) -> Tensor:
        """``(B, V)`` 1 where the text holds the token, else 0."""
        tokens = self.world.tokens
        ids, mask = tokens.rows(texts, int(tokens.ids.shape[1]))
        empty = torch.zeros(len(texts), tokens.vocabulary, device=ids.device)
        return empty.scatter_reduce_(1, ids, mask.float(), "amax")

    @staticmethod
    def _jaccard(left: Tensor, right: Tensor) -> Tensor:
        common = left @ right.T  # (B, N), exact: counts are small whole numbers
        total = left.sum(dim=1)[:, None] + right.sum(dim=1)[None, :]
        return common / (total - common).clamp(min=1)


def holding(sampler: Sampler | None, attribute: str, **default: Any) -> Any:
    """The sampler that has an attribute: this one, or one that it holds in a parameter.

    Raises:
        ValueError: If none has, and there is no ``default``.
    """
    held: Any = sampler
    while held is not None:
        if hasattr(held, attribute):
            return held
        text = getattr(held, "inner", None) or getattr(held, "then", None)
        if not isinstance(text, str):
            break
        name, given = parse_choice(text)
        held = make(name, **given)
    if "default" in default:
        return default["default"]
    raise ValueError(f"{sampler!r} needs cluster_match, but does not say what it trusts")


def spares_copies(sampler: Sampler) -> bool:
    """Ask a sampler, or its inner one, whether texts equal to the positive may be chosen."""
    says = holding(sampler, "positive_copies", default=None)
    return bool(getattr(says, "positive_copies", False))


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
