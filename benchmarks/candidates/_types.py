"""What a candidate pool is given, and the hooks it may fill."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from nsbench.benchmarks.contrast.world import Stored, World


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
