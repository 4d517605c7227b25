"""What an augmentation is given and gives back."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TokenView:
    """One view of a batch of B texts of at most L tokens, on its way into an encoder.

    The encoder turns ``ids`` and ``positions`` into its embedding-layer output E ``(B, L, d)``
    (after LayerNorm), feeds on ``E * scale + shift``, and runs with dropout rate ``dropout``.

    Attributes:
        ids: ``(B, L)`` int64 token ids, [CLS] and [SEP] included where the encoder has them.
        mask: ``(B, L)`` bool, True for real tokens; they come first in a row.
        positions: ``(B, L)`` int64 position of each token, 0 .. L-1.
        width: d, the embedding layer's width.
        scale: Broadcastable to ``(B, L, d)``, multiplied into E; ``None`` is 1.
        shift: Broadcastable to ``(B, L, d)``, added to E; ``None`` is 0.
        dropout: The encoder's own dropout rate in this view, or ``None`` for its setting.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    width: int
    scale: Tensor | None = None
    shift: Tensor | None = None
    dropout: float | None = None

    @property
    def lengths(self) -> Tensor:
        """``(B,)`` int64 number of real tokens."""
        return self.mask.sum(dim=1)

    def replace(self, **changes: Any) -> "TokenView":
        """A copy with some fields changed."""
        return replace(self, **changes)

    def scaled(self, factor: Tensor) -> "TokenView":
        """A copy whose embeddings are further multiplied by ``factor``."""
        return replace(self, scale=factor if self.scale is None else self.scale * factor)


class Augmentation(Protocol):
    """Makes one view. Parameters are frozen at construction.

    A class may also say ``needs_positions = True`` (it does nothing on an encoder without
    position embeddings) and ``needs_labels = True``.
    """

    def __call__(self, view: TokenView, generator: torch.Generator | None, /) -> TokenView:
        """Return the changed view; the input is left as it was."""
        ...


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [0, 1) on the device of ``like``."""
    return torch.rand(shape, generator=generator, device=like.device)


def choose_exactly(eligible: Tensor, count: Tensor, generator: torch.Generator | None) -> Tensor:
    """Choose exactly ``count`` of the eligible entries of every row, uniformly.

    Args:
        eligible: ``(B, M)`` bool.
        count: ``(B,)`` whole numbers, each at most the row's number of eligible entries.
        generator: Source of randomness.

    Returns:
        ``(B, M)`` bool, True where chosen.
    """
    lot = uniform(tuple(eligible.shape), eligible, generator).masked_fill(~eligible, 2.0)
    order = lot.argsort(dim=1, stable=True)
    place = torch.empty_like(order).scatter_(
        1, order, torch.arange(lot.shape[1], device=lot.device).expand_as(order)
    )
    return place < count[:, None]
