"""Negatives from all processes: each contrasts its own anchors with everybody's columns.

The loss of one process over the whole batch is the mean of the processes' losses, and its gradient
the mean of theirs, exactly: what is gathered keeps its gradient, which every process adds to.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nsbench.benchmarks.context import Contrast


class _Gather(torch.autograd.Function):
    """Concatenate the processes' rows; the gradient of a row is the sum over all processes."""

    @staticmethod
    def forward(context: Any, local: Tensor) -> Tensor:
        context.rows = len(local)
        parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        start = dist.get_rank() * context.rows
        return total[start : start + context.rows]


def gather(local: Tensor) -> Tensor:
    """``(W * n, ...)`` rows of all W processes in the order of their rank; gradients flow back.

    Every process must bring the same number of rows. Whole numbers pass as they are.
    """
    with torch.set_grad_enabled(local.is_floating_point() and torch.is_grad_enabled()):
        out: Tensor = _Gather.apply(local)  # type: ignore[no-untyped-call]  # torch's own
    return out


def own_anchors(contrast: Contrast) -> Contrast:
    """The part of a gathered batch's layout that this process answers for.

    Args:
        contrast: Laid out from gathered views: W * n anchors, or twice that for both directions.

    Returns:
        The same columns, this process's own anchors.
    """
    total = int(contrast.anchor_rows.max()) + 1
    size = total // dist.get_world_size()
    start = dist.get_rank() * size
    mine = (contrast.anchor_rows >= start) & (contrast.anchor_rows < start + size)
    return replace(
        contrast,
        anchors=contrast.anchors[mine],
        anchor_texts=contrast.anchor_texts[mine],
        positive_texts=contrast.positive_texts[mine],
        positive=contrast.positive[mine],
        anchor_rows=contrast.anchor_rows[mine],
    )


def average_gradients(module: nn.Module) -> None:
    """Replace every parameter's gradient by its mean over the processes; sparse ones stay so."""
    for parameter in module.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradient = parameter.grad
        if gradient.is_sparse:
            gradient = gradient.coalesce()
        dist.all_reduce(gradient)
        parameter.grad = gradient / dist.get_world_size()
