"""Hooks of a candidate pool."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from nsbench.benchmarks.contrast.world import Stored, World


class OpenPool:
    """A pool opened for one cell. Every hook is optional; this one adds nothing.

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
        """``{quantity: (S,)}`` of the pool at a measured step; nothing is encoded."""
        return {}

    def measure(self) -> Mapping[str, Tensor]:
        """``{quantity: (S,)}`` of the pool, whenever the probe measures; may encode a little."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return everything a resumed cell needs, as tensors and plain data.

        A pool that keeps anything from step to step must have this and `load`; otherwise its cells
        are never resumed in the middle.
        """
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`; the same world has opened the pool before."""

    @property
    def resumable(self) -> bool:
        """True if the pool keeps no state, or returns it."""
        kind = type(self)
        own = kind.state is not OpenPool.state and kind.load is not OpenPool.load
        return kind is OpenPool or own


class CandidatePool(Protocol):
    """A pool as it is configured; a frozen dataclass."""

    def open(self, world: World) -> OpenPool:
        """Start the pool for one cell."""
        ...
