"""A memory of the encoder's own past embeddings: they drift slowly enough to be of use.

Source: Wang et al. 2020, Cross-Batch Memory for Embedding Learning (XBM).
https://arxiv.org/abs/1912.06798 There batch and memory have a loss each; here they are columns of
one. The batch enters the memory after its step, so that it is not there twice.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from torch import Tensor

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.candidates._ring import STARTS, Ring
from nsbench.benchmarks.contrast.world import Stored, World
from nsbench.samplers import Choice, Interval


@register("memory")
class MemoryPool:
    """Embeddings of earlier batches as encoded then, in addition to the batch's own views.

    Args:
        size: Places, >= 1; 8192 in the released code.
        warmup_steps: Steps before the memory begins to fill, >= 0; 2000 in the released code.
        views: Which of a batch's embeddings are kept: the ``second`` views, or ``both``.
        start: ``empty``, or ``warm``: filled with random texts of the data, encoded.
    """

    size: Annotated[int, Interval("[1, inf)")] = 8192
    warmup_steps: Annotated[int, Interval("[0, inf)")] = 0
    views: Annotated[str, Choice("second", "both")] = "second"
    start: Annotated[str, Choice(*STARTS)] = "empty"
    test_configs: ClassVar = (
        {"size": 40, "warmup_steps": 2, "views": "both"},
        {"size": 40, "start": "warm"},
    )

    def open(self, world: World) -> "OpenMemory":
        return OpenMemory(self, world)


class OpenMemory(OpenPool):
    """The memory of one cell."""

    def __init__(self, settings: MemoryPool, world: World) -> None:
        self.settings, self.world = settings, world
        self.ring = Ring(settings.size, world.encoder.dimension, world.device)
        if settings.start == "warm":
            self.ring.warm(world, world.encoder)
        self.step = 0

    def refresh(self, step: int) -> None:
        self.step = step

    def stored(self) -> Stored | None:
        return self.ring.stored()

    def after_step(self, texts: Tensor, embeddings: Tensor) -> None:
        """Add the batch, after the warm-up."""
        if self.step < self.settings.warmup_steps:
            return
        start = len(texts) // 2 if self.settings.views == "second" else 0
        self.ring.push(texts[start:], embeddings[start:])

    def measure(self) -> Mapping[str, Tensor]:
        return self.ring.measure(self.world)

    def state(self) -> dict[str, Any]:
        return self.ring.state()

    def load(self, state: dict[str, Any]) -> None:
        self.ring.load(state)
