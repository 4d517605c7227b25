"""The optional fields of a context, each built only if the sampler's ``needs`` names it."""

from collections.abc import Iterable

import torch
from torch import Tensor

from nsbench.benchmarks.candidates import World
from nsbench.benchmarks.context import Contrast
from nsbench.samplers import EXTRAS, Objective, Sampler, SimilarityContext, suggest


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
        self.world = world
        self.needs = frozenset(getattr(sampler, "needs", ()))
        self.needs |= frozenset(getattr(objective, "needs", ()))
        for name in self.needs:
            if name not in EXTRAS:
                raise ValueError(f"no extra is called {name!r}. {suggest(name, EXTRAS)}")
        if hasattr(sampler, "synthesize"):
            self.needs |= {"anchors", "candidates"}

    def refresh(self, step: int, steps: int) -> None:
        """Host work before a step: guide embeddings, clusters."""

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
        if "own_negative" in self.needs:
            made["own_negative"] = contrast.own_negative
        if "token_overlap" in self.needs:
            made["token_overlap"] = self._token_overlap(contrast)
        if "support_similarity" in self.needs:
            made["support_similarity"] = self._support(contrast, context.similarity)
        return context.replace(**made)

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

    def _token_sets(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, L)`` ids and a mask that keeps the first of every distinct token."""
        width = int(self.world.tokens.ids.shape[1])
        ids, mask = self.world.tokens.rows(texts, width)
        same = ids[:, :, None] == ids[:, None, :]
        earlier = torch.ones(width, width, dtype=torch.bool, device=ids.device).tril(-1)
        return ids, mask & ~(same & earlier).any(dim=2)

    @staticmethod
    def _jaccard(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> Tensor:
        size, common = left[0].shape[1], torch.zeros((), device=left[0].device)
        for column in range(size):  # one token of every left text at a time, bounded memory
            token = left[0][:, column, None, None]
            hit = (token == right[0][None]) & right[1][None]
            common = common + (hit.any(dim=2) & left[1][:, column, None]).float()
        total = left[1].sum(dim=1)[:, None] + right[1].sum(dim=1)[None, :]
        return common / (total - common).clamp(min=1)
