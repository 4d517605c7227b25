"""A queue of past batches, encoded by a slowly moving copy of the encoder.

Source: He et al. 2020, Momentum Contrast (MoCo); for sentences Wu et al. 2022,
ESimCSE. https://arxiv.org/abs/1911.05722 https://arxiv.org/abs/2109.04380 As in
ESimCSE's released code the queue starts empty and keys are encoded with dropout off; MoCo's code
starts with random vectors, which would pose as negatives, and is not followed in that. The
positive is the batch's own second view, not a key.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.candidates._ring import STARTS, Ring
from nsbench.benchmarks.contrast.views import embed_texts
from nsbench.benchmarks.contrast.world import Stored, World
from nsbench.benchmarks.mining.guides import frozen_copy
from nsbench.samplers import Choice, Interval


@register("queue")
class QueuePool:
    """Keys of earlier batches by a momentum encoder; in addition to the batch's own views.

    Args:
        size: Places, >= 1; ESimCSE takes 2.5 batches, MoCo 65536.
        momentum: Share of the momentum encoder that stays at each step, in [0, 1]; 1 keeps the
            first weights, 0 copies the encoder. ESimCSE: 0.995, MoCo: 0.999.
        in_batch: Whether the batch's own views are negatives as well (ESimCSE), or those in the
            queue alone (MoCo).
        start: ``empty``, or ``warm``: filled with random texts of the data, encoded.
    """

    size: Annotated[int, Interval("[1, inf)")] = 160
    momentum: Annotated[float, Interval("[0, 1]")] = 0.995
    in_batch: bool = True
    start: Annotated[str, Choice(*STARTS)] = "empty"
    test_configs: ClassVar = (
        {"size": 40, "momentum": 0.0, "in_batch": False},
        {"size": 40, "start": "warm"},
    )

    def open(self, world: World) -> "OpenQueue":
        return OpenQueue(self, world)


class OpenQueue(OpenPool):
    """The queue of one cell."""

    def __init__(self, settings: QueuePool, world: World) -> None:
        self.settings, self.world = settings, world
        self.batch_negatives = settings.in_batch
        self.keys = frozen_copy(world.encoder)
        self.ring = Ring(settings.size, world.encoder.dimension, world.device)
        if settings.start == "warm":
            self.ring.warm(world, self.keys)

    def refresh(self, step: int) -> None:
        """Move the momentum encoder towards the encoder, as MoCo does before a step's keys."""
        m = self.settings.momentum
        if m == 1:
            return
        with torch.no_grad():
            new = dict(self.world.encoder.named_parameters())
            for name, old in self.keys.named_parameters():
                old.lerp_(new[name], 1 - m) if m else old.copy_(new[name])
            fresh = dict(self.world.encoder.named_buffers())
            for name, buffer in self.keys.named_buffers():
                buffer.copy_(fresh[name])

    def stored(self) -> Stored | None:
        return self.ring.stored()

    def after_step(self, texts: Tensor, embeddings: Tensor) -> None:
        """Encode the batch's second texts, those that are candidates, and take them in."""
        second = texts[len(texts) // 2 :]
        self.ring.push(second, embed_texts(self.keys, self.world.tokens, second))
        self.world.note("passes_key", len(second))

    def measure(self) -> Mapping[str, Tensor]:
        return self.ring.measure(self.world)

    def state(self) -> dict[str, Any]:
        return {"ring": self.ring.state(), "keys": self.keys.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.ring.load(state["ring"])
        self.keys.load_state_dict(state["keys"])
