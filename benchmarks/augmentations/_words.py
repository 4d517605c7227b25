"""Words and tokens of a row: where words begin, and how a row is rebuilt from its own tokens."""

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations._types import TokenView, share_of, uniform

T = TypeVar("T")


def attach(augmentation: T, **tables: Any) -> T:
    """A copy of a frozen augmentation with the tables that ``bind`` found filled in."""
    out = copy.copy(augmentation)
    for name, value in tables.items():
        object.__setattr__(out, name, value)
    return out


def device_of(encoder: Any) -> torch.device:
    """Device of an encoder's weights."""
    where: torch.device = next(iter(encoder.parameters())).device
    return where


def continuations(encoder: Any) -> Tensor:
    """``(V,)`` bool on the encoder's device, True for tokens that continue a word.

    WordPiece marks them with ``##``; byte-level BPE and SentencePiece mark word starts instead. In
    a vocabulary without any mark every token is a word.
    """
    tokenizer = encoder.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_tokens)
    for mark in ("Ġ", "▁"):
        if any(t.startswith(mark) for t in tokens):
            goes_on = [not t.startswith(mark) and t not in special for t in tokens]
            break
    else:
        goes_on = [t.startswith("##") for t in tokens]
    return torch.tensor(goes_on, device=device_of(encoder))


def whole_words(encoder: Any) -> dict[str, int]:
    """Token id of every word, lower-cased, that is a single token of the vocabulary."""
    tokenizer = encoder.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    goes_on = continuations(encoder).tolist()
    special = set(tokenizer.all_special_tokens)
    out: dict[str, int] = {}
    for number, (token, later) in enumerate(zip(tokens, goes_on, strict=True)):
        if not later and token not in special:
            out.setdefault(token.lstrip("Ġ▁").lower(), number)
    return out


def content(view: TokenView) -> Tensor:
    """``(B, L)`` bool, True for real tokens that are not special."""
    place = torch.arange(view.ids.shape[1], device=view.ids.device)
    return (place >= view.head) & (place < view.lengths[:, None] - view.tail)


def words(view: TokenView, goes_on: Tensor | None) -> tuple[Tensor, Tensor]:
    """Word of each token.

    Args:
        view: The view.
        goes_on: `continuations` of its encoder.

    Returns:
        ``(B, L)`` word number from 0, anything where `content` is False; and ``(B,)`` words.
    """
    if goes_on is None:
        raise ValueError("this augmentation works on words: bind(encoder) it first")
    inside = content(view)
    first = inside & (inside.cumsum(dim=1) == 1)
    begins = inside & (~goes_on[view.ids] | first)
    return (begins.cumsum(dim=1) - 1).clamp(min=0), begins.sum(dim=1)


def edits(count: Tensor, rate: float) -> Tensor:
    """``(B,)`` EDA's number of edits of texts of ``count`` words: max(1, int(rate * count))."""
    return share_of(count, rate).clamp(min=1)


def whole_numbers(
    below: Tensor, columns: int, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """``(B, columns)`` independent uniform whole numbers in 0 .. below - 1, ``below`` ``(B,)``."""
    lot = uniform((len(below), columns), like, generator)
    return (lot * below[:, None]).long().minimum((below[:, None] - 1).clamp(min=0))


def rebuilt(
    view: TokenView, source: Tensor, lengths: Tensor, ids: Tensor | None = None
) -> TokenView:
    """The view whose token at each place is the one that stood at ``source``.

    Positions are counted again; scale and shift of a single token move with it.

    Args:
        view: The view so far, rows of L tokens.
        source: ``(B, M)`` place in 0 .. L-1 that each of the M new tokens comes from.
        lengths: ``(B,)`` real tokens of the new rows.
        ids: ``(B, M)`` new ids, where they are not those of ``source``.
    """
    view, size = view.whole(), source.shape[1]
    place = torch.arange(size, device=source.device)

    def moved(value: Tensor | None) -> Tensor | None:
        if value is None or value.shape[-2] == 1:
            return value
        spread = value.expand(len(source), *value.shape[-2:])
        return spread.gather(1, source[:, :, None].expand(-1, -1, value.shape[-1]))

    return view.replace(
        ids=view.ids.gather(1, source) if ids is None else ids,
        mask=place < lengths[:, None],
        positions=place.expand_as(source),
        scale=moved(view.scale),
        shift=moved(view.shift),
    )
