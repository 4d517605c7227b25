"""Mined negatives, each of which is replaced once the model has come to find it easy.

Source: Li et al. 2024, Conan-embedding: General Text Embedding with More and Better Negative
Samples, its dynamic hard negative mining. https://arxiv.org/abs/2408.15710 Every 100 steps a
negative whose score, times 1.15, is below the one it started with, and below 0.8 in size, gives way
to the next of its ranking. No code of it is public: which of a row's negatives take which places,
and that a new negative's start is its score when it came in, is our reading. By the rule as it is
written a negative with a cosine below 0 always gives way.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.candidates._corpus_sources import SOURCES
from nsbench.benchmarks.candidates.corpus import CorpusPool
from nsbench.benchmarks.contrast.views import on_device
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.difficulty.statistics import point
from nsbench.benchmarks.mining.guides import own_embeddings
from nsbench.benchmarks.mining.settings import AMONG
from nsbench.samplers import Choice, Interval


@register("replaced")
class ReplacedPool:
    """Mined texts of each anchor as further columns; easy ones make way for others.

    A row's n negatives are the places ``first`` to ``first + n`` of its ranking; those that give
    way for the i-th time take, in their order, the places ``first + i n`` to ``first + (i + 1) n``.
    At the ranking's end they stay.

    Args:
        negatives: Columns per anchor, n >= 1.
        first: Places skipped at the top of the ranking, >= 0.
        depth: Places of the ranking that are kept, at least ``negatives``.
        every: Steps between two checks, >= 1.
        ratio: A negative gives way if its score times this is below its first one, in (0, 100].
        limit: And if its score is below this in size, in (0, 1].
        source: Whose ranking: the ``model`` before training, a ``guide``, ``bm25`` or ``random``.
        guide: The guide's name; empty for the cell's encoder as it starts.
        among: Which texts are mined: ``documents`` or ``all``, as in the pool `corpus`.
        share: ``own`` if mined columns are for the anchor they were mined for, ``batch`` if for
            all anchors.
    """

    negatives: Annotated[int, Interval("[1, inf)")] = 4
    first: Annotated[int, Interval("[0, inf)")] = 10
    depth: Annotated[int, Interval("[negatives, inf)")] = 100
    every: Annotated[int, Interval("[1, inf)")] = 100
    ratio: Annotated[float, Interval("(0, 100]")] = 1.15
    limit: Annotated[float, Interval("(0, 1]")] = 0.8
    source: Annotated[str, Choice(*SOURCES)] = "model"
    guide: str = ""
    among: Annotated[str, Choice(*AMONG)] = "documents"
    share: Annotated[str, Choice("own", "batch")] = "batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    test_configs: ClassVar = ({"negatives": 2, "depth": 10, "every": 3, "first": 0},)

    def __post_init__(self) -> None:
        assert self.ranking

    @property
    def ranking(self) -> CorpusPool:
        """The pool whose mining it uses."""
        return CorpusPool(
            shortage="fewer",
            source=self.source,
            guide=self.guide,
            among=self.among,
            negatives=self.depth,
            depth=self.depth,
            start=self.first,
            share=self.share,
        )

    def open(self, world: World) -> "OpenReplaced":
        return OpenReplaced(self, world)


class OpenReplaced(OpenPool):
    """The negatives of one cell.

    Attributes:
        ranking: ``(R, depth)`` texts by falling score, -1 behind the last.
        times: ``(R, n)`` how often each negative has given way.
        started: ``(R, n)`` float32 score of each negative when it came in; NaN for none.
    """

    def __init__(self, settings: ReplacedPool, world: World) -> None:
        self.settings, self.world, self.share = settings, world, settings.share
        self.ranking = torch.zeros(0, 0, dtype=torch.int64)
        shape = (world.data.rows, settings.negatives)
        self.times = torch.zeros(shape, dtype=torch.int64)
        self.started = torch.full(shape, torch.nan)
        self.last: Tensor | None = None
        self.share_replaced = 0.0

    @property
    def ids(self) -> Tensor:
        """``(R, n)`` texts in use, -1 for none."""
        return self.ranking.gather(1, self._places(self.times))

    def refresh(self, step: int) -> None:
        """Mine before the first step; check the negatives in use when due."""
        if step == 0:
            mining = self.settings.ranking.open(self.world)
            mining.refresh(0)
            self.ranking = mining.ids
            self.started = self._scores(own_embeddings(self.world))
        elif step % self.settings.every == 0:
            self._replace(self.world.embed(self.world.encoder))

    def mined(self, rows: Tensor) -> Tensor | None:
        self.last = on_device(self.started[rows].flatten(), self.world.device)
        return self.ids[rows].flatten()

    def mined_scores(self) -> Tensor | None:
        return self.last

    def numbers(self, step: int) -> Mapping[str, Tensor]:
        """Share of the negatives in use that the last check replaced."""
        share = torch.full((), self.share_replaced, device=self.world.device)
        return {"mined_replaced": point(share)}

    def _places(self, times: Tensor) -> Tensor:
        count = self.settings.negatives
        return (times * count + torch.arange(count)).clamp(max=self.ranking.shape[1] - 1)

    def _replace(self, embeddings: Tensor) -> None:
        """Let every negative that has become easy give way, where the ranking has a next one."""
        settings, width = self.settings, self.ranking.shape[1]
        now = self._scores(embeddings)
        easy = (settings.ratio * now < self.started) & (now.abs() < settings.limit)
        following = (self.times + 1) * settings.negatives + torch.arange(settings.negatives)
        there = following < width
        there &= self.ranking.gather(1, following.clamp(max=width - 1)) >= 0
        moved = easy & there
        self.times = self.times + moved
        self.started = torch.where(moved, self._scores(embeddings), self.started)
        in_use = int((self.ids >= 0).sum())
        self.share_replaced = float(moved.sum()) / max(1, in_use)
        self.world.note("negatives_replaced", float(moved.sum()))
        self.world.note("negatives_used_up", float((easy & ~there).sum()))

    def _scores(self, embeddings: Tensor) -> Tensor:
        """``(R, n)`` cosine of each anchor with its negatives in use; NaN for none."""
        ids = self.ids
        anchors = torch.from_numpy(np.asarray(self.world.data.anchor))
        parts = []
        for mine, found in zip(anchors.split(4096), ids.split(4096), strict=True):
            left = embeddings[on_device(mine, embeddings.device)]
            right = embeddings[on_device(found.clamp(min=0), embeddings.device)]
            parts.append(torch.einsum("bd,bnd->bn", left, right).cpu())
        return torch.cat(parts).masked_fill(ids < 0, torch.nan)

    def state(self) -> dict[str, Any]:
        return {
            "ranking": self.ranking,
            "times": self.times,
            "started": self.started,
            "share_replaced": self.share_replaced,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.ranking, self.times = state["ranking"], state["times"]
        self.started, self.share_replaced = state["started"], state["share_replaced"]
