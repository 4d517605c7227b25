"""Look up rows of a token table whose gradient keeps its memory from step to step.

Torch makes a new gradient of the whole table in every step. On a CPU the system has to bring in and
clear its memory page by page, which took a tenth of a step of MiniLM. Here a gradient that is no
longer wanted is cleared and written again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nsbench.benchmarks.encoders._linear import called, wide_on_cpu


class Spare:
    """The gradient that a table last had; it is overwritten once the table has none."""

    gradient: Tensor | None = None

    def of(self, table: Tensor) -> Tensor:
        """``(V, d)`` zeros."""
        if self.gradient is None or self.gradient.shape != table.shape:
            self.gradient = torch.empty_like(table)
        return self.gradient.zero_()


@contextmanager
def kept_gradient(layer: nn.Module, spare: Spare) -> Iterator[None]:
    """Within, the gradient of a trained table on a CPU is written to the memory of the last one.

    Args:
        layer: A plain ``nn.Embedding`` of float32 weights; another one is left as it is.
        spare: Holds that memory.
    """
    calls: dict[nn.Module, partial[Tensor]] = {}
    if _kept(layer):
        calls[layer] = partial(_rows, layer, spare)
    with called(calls):
        yield


def _kept(layer: nn.Module) -> TypeGuard[nn.Embedding]:
    if type(layer) is not nn.Embedding or not torch.is_grad_enabled():
        return False
    table = layer.weight
    plain = layer.max_norm is None and not layer.scale_grad_by_freq and not layer.sparse
    trains = table.requires_grad and wide_on_cpu(table)
    return plain and trains and "forward" not in layer.__dict__


def _rows(layer: nn.Embedding, spare: Spare, ids: Tensor) -> Tensor:
    found: Tensor = _Rows.apply(  # type: ignore[no-untyped-call]
        layer.weight, ids, layer.padding_idx, spare
    )
    return found


class _Rows(torch.autograd.Function):
    """Rows of a table; `backward` adds to the gradient of the table itself."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor, padding: int | None, spare: Spare) -> Tensor:
        ctx.table, ctx.ids, ctx.padding, ctx.spare = table, ids, padding, spare
        return functional.embedding(ids, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        table = ctx.table
        if table.grad is None:
            table.grad = ctx.spare.of(table)
        table.grad.index_add_(0, ctx.ids.flatten(), gradient.flatten(0, -2))
        if ctx.padding is not None:
            table.grad[ctx.padding].zero_()
        return None, None, None, None
