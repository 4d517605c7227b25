"""What a candidate pool is given, and the hooks it may fill."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.content_cache import NOTHING, Arrays, ContentCache
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.distributed import team
from nsbench.benchmarks.encoders import Encoder, TokenTable, hash_weights
from nsbench.benchmarks.records import content_key


@dataclass(frozen=True, eq=False)
class World:
    """What a cell's host hooks may look at.

    Attributes:
        data: The training data.
        encoder: The encoder in training, live.
        tokens: Tokens of all T texts.
        device: Where training happens.
        batch_size: B.
        seed_for: Gives the seed of a purpose word, ``seed_for("pool")``.
        embed: ``embed(encoder) -> (T, d)`` normalised embeddings of all texts, dropout off, on
            the device; passes are counted.
        note: ``note(name, value)`` adds to a count of the cell's costs.
        cache: Where what is slow to make is shared with other cells and processes.
        key: Says which encoder, tokens and data these are, but for the weights; without it nothing
            of the encoder is shared.
    """

    data: TrainingData
    encoder: Encoder
    tokens: TokenTable
    device: torch.device
    batch_size: int
    seed_for: Callable[[str], int]
    embed: Callable[[Encoder], Tensor]
    note: Callable[[str, float], None]
    cache: ContentCache = NOTHING
    key: str = ""

    def shared(self, made_from: list[Any], make: Callable[[], Arrays]) -> Arrays:
        """What ``make()`` gives, or gave before to any cell whose answer is the same to the bit.

        Args:
            made_from: Plain data that decides the answer, beside versions, device and threads.
            make: Makes the arrays.
        """
        return self.cache.arrays([*made_from, arithmetic(self.device)], make)

    def weights(self) -> str:
        """Hash of the encoder as it stands; empty where nothing of it is to be shared.

        Processes that train together encode together: none of them could wait for another.
        """
        if team().size > 1:
            return ""
        if self.cache.folder is None or not self.key:
            return ""
        return content_key([self.key, hash_weights(self.encoder.state_dict().items())])


def arithmetic(device: torch.device) -> list[str]:
    """What rounding depends on: versions, processor and threads."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    features = torch.backends.cpu.get_cpu_capability()
    versions = [torch.__version__, np.__version__]
    return [*versions, name, features, str(torch.get_num_threads())]


@dataclass(frozen=True, eq=False)
class Stored:
    """Columns that a pool keeps from earlier steps; no gradient flows into them.

    Attributes:
        embeddings: ``(M, d)`` normalised, detached.
        texts: ``(M,)`` int64 text index.
        valid: ``(M,)`` bool, False for places not filled yet: never eligible.
    """

    embeddings: Tensor
    texts: Tensor
    valid: Tensor


class OpenPool:
    """A pool at work in one cell. Every hook is optional; this one adds nothing.

    Numbers of texts and rows pass through the hooks on the host, so that nothing waits for the
    device to know how long a batch's texts are; embeddings and scores stay on the device.

    Attributes:
        share: ``own`` if a mined column may be chosen by the anchor it was mined for only,
            ``batch`` if by all.
        batch_negatives: Whether the batch's own columns are candidates.
    """

    share: str = "batch"
    batch_negatives: bool = True

    def refresh(self, step: int) -> None:
        """Host hook before step ``step``: mine, cluster, rebuild an index."""

    def mined(self, rows: Tensor) -> Tensor | None:
        """Texts to encode with this batch as further columns, or ``None``.

        Args:
            rows: ``(B,)`` rows of the training data, on the host.

        Returns:
            ``(B * m,)`` texts, on the host, those of one row side by side; -1 for an empty place.
        """
        return None

    def stored(self) -> Stored | None:
        """Columns kept from before, or ``None``."""
        return None

    def after_step(self, texts: Tensor, embeddings: Tensor) -> None:
        """Take in the batch's texts and embeddings.

        Args:
            texts: ``(M,)`` numbers of texts, on the host.
            embeddings: ``(M, d)`` normalised, detached, on the device.
        """

    def mined_scores(self) -> Tensor | None:
        """``(B * m,)`` cosines at which the texts of the last `mined` were found, NaN if unknown.

        ``None`` where nothing is mined.
        """
        return None

    def numbers(self, step: int) -> Mapping[str, Tensor]:
        """``{quantity: (S,)}`` of the pool itself at a measured step; nothing is encoded."""
        return {}

    def look(self) -> Mapping[str, Tensor]:
        """``{quantity: (S,)}`` of the pool itself whenever the probe looks; may encode a little."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything a resumed cell needs, as tensors and plain data.

        A pool that keeps anything from step to step has this and `load`, or its cells are never
        resumed in the middle.
        """
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; the pool has been opened by the same world before."""

    @property
    def resumable(self) -> bool:
        """Whether the pool keeps nothing, or says what."""
        kind = type(self)
        own = kind.state is not OpenPool.state and kind.load is not OpenPool.load
        return kind is OpenPool or own


class CandidatePool(Protocol):
    """A pool as it is configured; a frozen dataclass."""

    def open(self, world: World) -> OpenPool:
        """Start the pool for one cell."""
        ...
