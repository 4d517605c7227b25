"""First in, first out: embeddings of a queue or memory."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.views import embed_texts, on_device
from nsbench.benchmarks.contrast.world import Stored, World
from nsbench.benchmarks.difficulty.staleness import SAMPLE, stored_statistics
from nsbench.benchmarks.encoders import Encoder

STARTS = ("empty", "warm")


class Ring:
    """The newest ``size`` embeddings, with their texts; empty at first.

    Args:
        size: Places.
        dimension: d.
        device: Where they live.
    """

    def __init__(self, size: int, dimension: int, device: torch.device) -> None:
        self.embeddings = torch.zeros(size, dimension, device=device)
        self.texts = torch.zeros(size, dtype=torch.int64, device=device)
        self.numbers = torch.zeros(size, dtype=torch.int64)  # the same, on the host
        self.pushed = 0

    @property
    def filled(self) -> int:
        """Places in use."""
        return min(self.pushed, len(self.texts))

    def push(self, texts: Tensor, embeddings: Tensor) -> None:
        """Take in ``(n,)`` texts, on the host, and ``(n, d)`` embeddings; the oldest leave."""
        size, device = len(self.texts), self.texts.device
        texts, embeddings = texts[-size:], embeddings[-size:].detach()
        host = (self.pushed + torch.arange(len(texts))) % size
        places = on_device(host, device)
        self.numbers[host] = texts
        self.texts[places] = on_device(texts, device)
        self.embeddings[places] = embeddings.to(self.embeddings.dtype)
        self.pushed += len(texts)

    def warm(self, world: World, encoder: Encoder) -> None:
        """Fill the places with real texts: random different positives, as the encoder sees them."""
        rng = np.random.default_rng(world.seed_for("pool"))
        texts = rng.permutation(np.unique(world.data.positive))[: len(self.texts)]
        for part in torch.from_numpy(texts).split(1024):
            self.push(part, embed_texts(encoder, world.tokens, part))
        world.note("passes_key", len(texts))

    def stored(self) -> Stored | None:
        """Return the columns held, if any; read them before the next push."""
        if not self.pushed:
            return None
        texts = self.texts[: self.filled]
        return Stored(
            embeddings=self.embeddings[: self.filled],
            texts=texts,
            valid=torch.ones_like(texts, dtype=torch.bool),
        )

    def measure(self, world: World) -> dict[str, Tensor]:
        """Compare some places, spread evenly, with the current encoder's embeddings."""
        if not self.pushed:
            return {}
        few = min(SAMPLE, self.filled)
        host = torch.arange(few) * self.filled // few
        places = on_device(host, self.texts.device)
        today = embed_texts(world.encoder, world.tokens, self.numbers[host])
        return stored_statistics(self.embeddings[places], today, self.texts[places])

    def state(self) -> dict[str, Any]:
        """Return everything a resumed cell needs."""
        return {"embeddings": self.embeddings, "texts": self.numbers, "pushed": self.pushed}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self.embeddings.copy_(state["embeddings"])
        self.numbers.copy_(state["texts"])
        self.texts.copy_(state["texts"])
        self.pushed = state["pushed"]
