"""The world of a cell: data, encoder, tokens, and columns that a pool keeps."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, TokenTable, hash_weights
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.precision import cpu_features
from nsbench.benchmarks.records.cache import NOTHING, Arrays, ContentCache


@dataclass(frozen=True, eq=False)
class World:
    """Input of a cell's host hooks.

    Attributes:
        data: The training data.
        encoder: The encoder in training, live.
        tokens: Tokens of all T texts, as documents where roles differ.
        device: Where training happens.
        batch_size: B.
        seed_for: Gives the seed of a purpose word, ``seed_for("pool")``.
        embed: ``embed(encoder, tokens=tokens) -> (T, d)`` normalised embeddings of all texts,
            dropout off, on the device; passes are counted.
        note: ``note(name, value)`` adds to a count of the cell's costs.
        cache: Where results that are slow to compute are shared with other cells and processes.
        key: Identifies encoder, tokens and data, without the weights; if empty, nothing of the
            encoder is shared.
        queries: Tokens of all texts as queries, where these have another prompt or length.
    """

    data: TrainingData
    encoder: Encoder
    tokens: TokenTable
    device: torch.device
    batch_size: int
    seed_for: Callable[[str], int]
    embed: Callable[..., Tensor]
    note: Callable[[str, float], None]
    cache: ContentCache = NOTHING
    key: str = ""
    queries: TokenTable | None = None

    @property
    def asked(self) -> TokenTable:
        """Tokens of all texts as anchors."""
        return self.tokens if self.queries is None else self.queries

    def shared(self, made_from: list[Any], make: Callable[[], Arrays]) -> Arrays:
        """Return ``make()``, or its stored result for a cell with the same answer to the bit.

        ``made_from`` decides the answer, along with versions, device and threads.
        """
        return self.cache.arrays([*made_from, arithmetic(self.device)], make)

    def weights(self) -> str:
        """Return the hash of the current encoder; empty where nothing of it is shared.

        Processes that train together encode together, so none can wait for another.
        """
        if team().size > 1:
            return ""
        if self.cache.folder is None or not self.key:
            return ""
        return content_key([self.key, hash_weights(self.encoder.state_dict().items())])


def arithmetic(device: torch.device) -> list[str]:
    """Return everything that rounding depends on: versions, processor and threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    versions = [torch.__version__, np.__version__]
    return [*versions, name, cpu_features(), str(torch.get_num_threads())]


@dataclass(frozen=True, eq=False)
class Stored:
    """Columns that a pool keeps from earlier steps; no gradient flows into them.

    Attributes:
        embeddings: ``(M, d)`` normalised, detached.
        texts: ``(M,)`` int64 text index.
        valid: ``(M,)`` bool, False for places not filled yet, which are never eligible.
    """

    embeddings: Tensor
    texts: Tensor
    valid: Tensor
