"""Texts that many rows of the batch rank in a window, as further columns (B3++).

Source: Thirukovalluru et al. 2025, Breaking the Batch Barrier (B3) of Contrastive Learning via
Smart Batch Mining, its variant with hard negatives. https://arxiv.org/abs/2505.11293 Its batches
are those of the sampler `communities`. No code of it is public: that every anchor brings as many
columns, drawn without replacement from the whole batch's window, is our reading.
"""

from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.neighbours import Ints, ranked_rows, teacher_views
from nsbench.samplers import Choice, Interval


@register("counted")
class CountedPool:
    """Positives of rows outside the batch, drawn by how many of the batch's rows rank them.

    A row's window holds the rows whose positives a guide ranks for its anchor in places ``skip``
    to ``skip + width``. A row outside the batch counts as often as it is in a window of the batch;
    it is drawn in proportion to that count, and at most once a step.

    Args:
        negatives: Columns per anchor, >= 1; fewer where the windows hold fewer rows.
        skip: Places skipped at the top of a row's ranking, p, >= 0.
        width: Places behind those that count, m, >= 1.
        guide: Encoder that ranks; empty for the cell's own as it starts.
        share: ``batch`` if drawn columns are for all anchors, ``own`` if each is for one.
    """

    negatives: Annotated[int, Interval("[1, inf)")] = 5
    skip: Annotated[int, Interval("[0, inf)")] = 30
    width: Annotated[int, Interval("[1, inf)")] = 100
    guide: str = ""
    share: Annotated[str, Choice("own", "batch")] = "batch"
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    test_configs: ClassVar = ({"negatives": 2, "skip": 1, "width": 6, "share": "own"},)

    def open(self, world: World) -> "OpenCounted":
        return OpenCounted(self, world)


class OpenCounted(OpenPool):
    """The windows of one cell, ranked when it is opened, before any step or snapshot.

    Attributes:
        window: ``(R, width)`` rows, -1 for none.
    """

    def __init__(self, settings: CountedPool, world: World) -> None:
        self.settings, self.world, self.share = settings, world, settings.share
        depth = settings.skip + settings.width
        ranked = ranked_rows(*teacher_views(world, settings.guide), depth)
        self.window = ranked[:, settings.skip :]
        self.seed, self.step, self.places = world.seed_for("counted"), 0, 0

    def refresh(self, step: int) -> None:
        """Remember the step, which decides the draw."""
        self.step = step

    def mined(self, rows: Tensor) -> Tensor | None:
        batch = rows.numpy()
        counts = counted(self.window, batch)
        size = len(batch) * self.settings.negatives
        drawn = draw_by_count(counts, size, np.random.default_rng([self.seed, self.step]))
        out = np.full(size, -1, np.int64)
        # One after the other over the anchors, so that few columns are spread over all of them.
        order = np.arange(size).reshape(len(batch), -1).T.reshape(-1)
        out[order[: len(drawn)]] = self.world.data.positive[drawn]
        self.places = size
        return torch.from_numpy(out)

    def mined_scores(self) -> Tensor | None:
        return torch.full((self.places,), torch.nan, device=self.world.device)

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing: opening the pool has ranked again, and the step decides the draw."""


def counted(window: Ints, batch: Ints) -> Ints:
    """``(R,)`` how many of a batch's windows each row is in; 0 for the rows of the batch.

    Args:
        window: ``(R, m)`` rows of each row's window, -1 for none.
        batch: ``(B,)`` rows.
    """
    found = window[batch]
    counts = np.bincount(found[found >= 0], minlength=len(window))
    counts[batch] = 0
    return counts


def draw_by_count(counts: Ints, size: int, rng: np.random.Generator) -> Ints:
    """At most ``size`` different rows, each draw in proportion to the counts of those left.

    Args:
        counts: ``(R,)`` >= 0; a row of 0 is never drawn.
        size: Rows to draw.
        rng: Decides.
    """
    there = np.flatnonzero(counts)
    # The smallest of exponential times with these rates come up as such draws do.
    times = rng.exponential(size=len(there)) / counts[there]
    return there[np.argsort(times, kind="stable")[:size]]
