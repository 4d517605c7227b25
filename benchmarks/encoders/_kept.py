"""Sums of token embeddings of which single elements are kept, made some hundred tokens at a time.

The embeddings of a whole batch, one for each token, would leave the processor's cache between
every two operations.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

_TOKENS = 768
"""At a time: about a megabyte at usual widths."""


class SumOfKept(torch.autograd.Function):
    """``(B, d)`` sums over tokens of their embeddings times 0 or 1, on a CPU.

    Its inputs are ``(D, d)`` embeddings, the ``(N,)`` row of each token among them, ``(N, d)``
    uint8 factors, and the ``(B,)`` number of tokens of each text, texts one after the other.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, place: Tensor, kept: Tensor, lengths: Tensor) -> Tensor:
        """Return the sums."""
        ctx.save_for_backward(place, kept, lengths)
        ctx.rows = len(table)
        return _sums(table, place, kept, lengths)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradient of the embeddings."""
        place, kept, lengths = ctx.saved_tensors
        small = place.numpy().astype(
            np.uint16 if ctx.rows < 1 << 16 else np.int64
        )  # 16 bits: radix
        order = torch.from_numpy(small.argsort(kind="stable"))
        text = torch.arange(len(lengths)).repeat_interleave(lengths)[order]
        times = place.bincount(minlength=ctx.rows)
        found = _sums(gradients[0].contiguous(), text, kept, times, order)
        return found, None, None, None


def _sums(
    source: Tensor, rows: Tensor, kept: Tensor, counts: Tensor, order: Tensor | None = None
) -> Tensor:
    """``(S, d)`` sums, the first over the first ``counts[0]`` of ``source[rows] * kept``, etc.

    Args:
        source: ``(R, d)``.
        rows: ``(N,)``.
        kept: ``(N, d)`` uint8.
        counts: ``(S,)`` with the sum N.
        order: ``(N,)`` rows of ``kept``, where they are not in the order of ``rows``.
    """
    out = source.new_empty(len(counts), source.shape[1])
    ends = counts.cumsum(0)
    block = ((ends - 1) // _TOKENS).unique_consecutive(return_counts=True)[1]  # sums at a time
    last = ends[block.cumsum(0) - 1]
    first = torch.cat([last.new_zeros(1), last[:-1]])
    starts = ends - counts - first.repeat_interleave(block)
    tokens, sums = (last - first).tolist(), block.tolist()
    held, factor = source.new_empty(2, max(tokens), source.shape[1])
    number = torch.arange(max(tokens))
    factors = (
        kept.split(tokens)
        if order is None
        else (kept.index_select(0, some) for some in order.split(tokens))
    )
    for n, some, some_kept, offsets, target in zip(
        tokens, rows.split(tokens), factors, starts.split(sums), out.split(sums), strict=True
    ):
        states = torch.index_select(source, 0, some, out=held[:n])
        states.mul_(factor[:n].copy_(some_kept))
        target.copy_(torch.embedding_bag(states, number[:n], offsets)[0])
    return out
