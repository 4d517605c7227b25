"""Augmentations and the views they change."""

from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from nsbench.benchmarks.device import is_fake
from nsbench.samplers import places

SORTED = 2048
"""Rows up to this long are ranked by a sort, longer ones by bisection."""


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
        head: Special tokens at the start of every row ([CLS]).
        tail: Special tokens at the end of every row's real tokens ([SEP]).
        limit: Longest row the encoder takes, in tokens.
        pooling: Pooling asked for, of an encoder that has several; empty for its own.
        unpooled: ``(k,)`` token ids left out of a mean over tokens.
        kept: ``(N, d)`` uint8 factors 0 and 1 of the N real tokens' embeddings, one text after the
            other; ``None`` is 1. Only of encoders with ``sums_tokens``; see `whole`.
        fixed: Whether memory and operations of the pass must depend on nothing but the view's
            shape, without waiting for the device, so that it can be recorded and replayed.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    width: int
    scale: Tensor | None = None
    shift: Tensor | None = None
    dropout: float | None = None
    head: int = 0
    tail: int = 0
    limit: int = 1 << 30
    pooling: str = ""
    unpooled: Tensor | None = None
    kept: Tensor | None = None
    fixed: bool = False

    @property
    def lengths(self) -> Tensor:
        """``(B,)`` int64 number of real tokens."""
        return self.mask.sum(dim=1)

    @property
    def averaged(self) -> Tensor:
        """``(B, L)`` bool, True for tokens in a mean: real and not `unpooled`.

        A text whose tokens are all `unpooled` keeps them.
        """
        if self.unpooled is None:
            return self.mask
        kept = self.mask & ~torch.isin(self.ids, self.unpooled)
        return torch.where(kept.any(dim=1, keepdim=True), kept, self.mask)

    @property
    def readable(self) -> bool:
        """True where numbers may be read: on a CPU, in a pass whose shapes need not be constant."""
        return self.ids.device.type == "cpu" and not self.fixed and not is_fake(self.ids)

    def replace(self, **changes: Any) -> "TokenView":
        """A copy with some fields changed.

        Raises:
            ValueError: If the mask changes under factors of single tokens; see `whole`.
        """
        if "mask" in changes and self.kept is not None and "kept" not in changes:
            raise ValueError("the real tokens of a view change: take view.whole() first")
        return replace(self, **changes)

    def whole(self) -> "TokenView":
        """The same view with ``kept`` as a part of its scale."""
        if self.kept is None:
            return self
        factor = torch.ones(*self.mask.shape, self.width)
        factor[self.mask] = self.kept.float()
        return self.replace(kept=None).scaled(factor)

    def keeping(self, kept: Tensor) -> "TokenView":
        """A copy of whose embeddings only the elements are left where ``(N, d)`` uint8 is 1."""
        return self.replace(kept=kept if self.kept is None else self.kept * kept)

    def scaled(self, factor: Tensor) -> "TokenView":
        """A copy whose embeddings are further multiplied by ``factor``."""
        return replace(self, scale=factor if self.scale is None else self.scale * factor)

    def take(self, rows: Tensor, length: int) -> "TokenView":
        """The view of some rows, cut to their first ``length`` tokens.

        Args:
            rows: ``(b,)`` int64 row numbers.
            length: Columns kept; no row may have more real tokens.
        """
        if self.kept is not None:
            return self.whole().take(rows, length)

        def rowwise(value: Tensor | None) -> Tensor | None:
            if value is None:
                return None
            chosen = value[rows] if value.shape[0] == len(self.ids) else value
            return chosen[:, :length] if chosen.shape[1] > 1 else chosen

        return replace(
            self,
            ids=self.ids[rows, :length],
            mask=self.mask[rows, :length],
            positions=self.positions[rows, :length],
            scale=rowwise(self.scale),
            shift=rowwise(self.shift),
        )


class Augmentation(Protocol):
    """Makes one view. Parameters are frozen at construction.

    A class may also say ``needs_positions = True`` (it does nothing on an encoder without
    position embeddings), ``needs_order = True`` (nor on a bag of tokens), ``needs_dropout = True``
    (nor on one without dropout), ``needs_labels``, and ``stochastic = True`` (it draws from the
    generator). What needs an encoder's vocabulary has a method ``bind(encoder)`` that gives the
    augmentation as it works on that encoder; the engine calls it once per cell, see `bound`.
    """

    def __call__(self, view: TokenView, generator: torch.Generator | None, /) -> TokenView:
        """Return the changed view; the input is left as it was."""
        ...


def bound(augmentation: Augmentation, encoder: Any) -> Augmentation:
    """Return the augmentation for an encoder: bound to it if it has ``bind``, else itself."""
    bind = getattr(augmentation, "bind", None)
    return augmentation if bind is None else cast(Augmentation, bind(encoder))


def uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in [0, 1) on the device of ``like``."""
    return torch.rand(shape, generator=generator, device=like.device)


def share_of(total: Tensor, rate: float) -> Tensor:
    """``(B,)`` whole part of ``total * rate``, to the last bit what Python's ``int`` gives."""
    return (total.double() * rate).long()


def choose_exactly(eligible: Tensor, count: Tensor, generator: torch.Generator | None) -> Tensor:
    """Choose exactly ``count`` of the eligible entries of every row, uniformly.

    Args:
        eligible: ``(B, M)`` bool.
        count: ``(B,)`` whole numbers, each at most the row's number of eligible entries.
        generator: Source of randomness.

    Returns:
        ``(B, M)`` bool, True where chosen.
    """
    lot = uniform(tuple(eligible.shape), eligible, generator).masked_fill_(~eligible, 2.0)
    if lot.shape[1] > SORTED:
        chosen = _near_the_share(lot, count, eligible) if lot.device.type == "cpu" else None
        return _smallest(lot, count) if chosen is None else chosen
    return places(lot.argsort(dim=1, stable=True)) < count[:, None]


def _near_the_share(lot: Tensor, count: Tensor, eligible: Tensor) -> Tensor | None:
    """Return what `_smallest` does, faster on a CPU: only lots near the share are sorted.

    The k-th smallest of n uniform lots lies within eight standard deviations of k / n; all below
    are chosen, and few are within. ``None`` where a row's does not, as with lots that are not
    uniform.
    """
    total = eligible.sum(dim=1, dtype=torch.int32).double().clamp(min=1)
    share = count / total
    margin = 8 * (share * (1 - share) / total).sqrt() + 4 / total
    chosen = lot < (share - margin).float()[:, None]
    row, column = ((lot < (share + margin).float()[:, None]) ^ chosen).nonzero().unbind(1)
    missing = count - chosen.sum(dim=1, dtype=torch.int32)
    near = torch.bincount(row, minlength=len(lot))
    if bool(((missing < 0) | (missing > near)).any()):
        return None
    place = torch.arange(len(row)) - (near.cumsum(0) - near)[row]
    value = lot.new_full((len(lot), int(near.max())), 3.0)
    value[row, place] = lot[row, column]
    rank = places(value.argsort(dim=1, stable=True))
    chosen[row, column] = rank[row, place] < missing[row]
    return chosen


def _smallest(lot: Tensor, count: Tensor) -> Tensor:
    """``(B, M)`` bool, True at the ``count`` smallest lots of each row, by bisection.

    The threshold is found bit by bit, so long rows cost 25 passes and no sort: a quarter of the
    time at M = 12,288. Lots closer than 2^-24 are a tie, which the first in the row win.
    """
    low = torch.zeros(len(lot), device=lot.device)
    for bit in range(25):
        higher = low + 2.0**-bit
        fits = (lot < higher[:, None]).sum(dim=1, dtype=torch.int32) <= count
        low = torch.where(fits, higher, low)
    below = lot < low[:, None]
    tied = (lot < low[:, None] + 2.0**-24) & ~below
    left = count - below.sum(dim=1)
    return below | (tied & (tied.cumsum(dim=1, dtype=torch.int32) <= left[:, None]))
