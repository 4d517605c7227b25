"""Exactly so many single elements of token embeddings, chosen on a CPU with a byte for each.

Every element below a limit is chosen, independently of the others. A text then has a few too many
or too few; as many of its elements, drawn at random, change. No element differs from another
in this, so that every choice of the exact number is equally likely.
"""

import torch
from torch import Tensor

_BITS = 31


def choose_elements(
    lengths: Tensor, width: int, count: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Choose exactly ``count`` elements of every text's token embeddings, uniformly.

    Args:
        lengths: ``(B,)`` int64 real tokens of each text, at least 1.
        width: d, elements of a token.
        count: ``(B,)`` int64, each in 0 .. lengths * d.
        generator: Source of randomness, of the CPU.

    Returns:
        ``(N, d)`` uint8, 1 where chosen, for the N tokens of all texts, one text after the other.
    """
    total, tokens = lengths * width, int(lengths.sum())
    text = torch.arange(len(lengths)).repeat_interleave(lengths)
    fewer = torch.minimum(count, total - count)  # the chosen or the others
    words = torch.empty(-(-tokens * width // 8), dtype=torch.int64)
    words.random_(-(2**63), None, generator=generator)
    lots = words.view(torch.uint8)[: tokens * width].view(tokens, width)
    drawn, limit, missing = torch.empty_like(lots), torch.zeros_like(total), fewer
    for _ in range(2):  # the second limit leaves few to change; too few are changed faster
        limit = (limit + (256 * missing).div(total, rounding_mode="floor")).clamp(0, 255)
        column = limit.to(torch.uint8).index_select(0, text)[:, None]
        missing = fewer - _by_text(drawn.copy_(lots).lt_(column), text, len(lengths))
    while bool(missing.any()):
        _approach(drawn.view(-1), total, missing, fewer - missing, generator)
        missing = fewer - _by_text(drawn, text, len(lengths))
    if bool((count > fewer).any()):
        drawn.bitwise_xor_((count > fewer).to(torch.uint8).index_select(0, text)[:, None])
    return drawn


def ones_of(drawn: Tensor, lengths: Tensor) -> Tensor:
    """``(B,)`` int64 number of ones of every text, of ``(N, d)`` uint8 of its ``(B,)`` tokens."""
    return _by_text(drawn, torch.arange(len(lengths)).repeat_interleave(lengths), len(lengths))


def _by_text(drawn: Tensor, text: Tensor, texts: int) -> Tensor:
    width = drawn.shape[1]
    if width % 8 == 0 and width < 8 * 256:  # eight at a time: no byte of the sum overflows
        by_token = drawn.view(torch.int64).sum(dim=1, keepdim=True).view(torch.uint8).sum(dim=1)
    else:
        by_token = drawn.sum(dim=1)
    return by_token.new_zeros(texts).index_add_(0, text, by_token)


def _approach(
    drawn: Tensor, total: Tensor, missing: Tensor, ones: Tensor, generator: torch.Generator | None
) -> None:
    """Change elements drawn at random until a text has its ones, or its lots are used up.

    Args:
        drawn: ``(M,)`` uint8 elements of all texts, changed in place.
        total: ``(B,)`` elements of each text.
        missing: ``(B,)`` ones that each lacks; below 0 for those it has too many.
        ones: ``(B,)`` ones that each has.
        generator: Source of randomness.
    """
    few, needed = (missing < 0).to(torch.uint8), missing.abs()
    eligible = torch.where(missing > 0, total - ones, ones).clamp(min=1)
    lots = torch.where(needed > 0, (1.2 * needed * total / eligible).long() + 8, 0)
    text = torch.arange(len(total)).repeat_interleave(lots)  # of each lot
    place = torch.empty(len(text), dtype=torch.int64).random_(0, 2**_BITS, generator=generator)
    place.mul_(total.index_select(0, text)).bitwise_right_shift_(_BITS)
    place.add_((total.cumsum(0) - total).index_select(0, text))
    fits = drawn.take(place) == few.index_select(0, text)
    rank = fits.cumsum(0)
    earlier = torch.cat([rank.new_zeros(1), rank]).index_select(0, lots.cumsum(0) - lots)
    # A place that was drawn twice changes once.
    place = place[fits & (rank <= (earlier + needed).index_select(0, text))]
    drawn[place] = 1 - drawn.take(place)
