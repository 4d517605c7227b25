"""Run the linear layers of a transformer in float32 on a CPU by oneDNN.

Torch has MKL multiply in float32, which does not use all that processors of other makers than its
own can do. `multiplied` sends products of a model that trains to oneDNN, forward and backward.

A model that only scores gains more, by `laid_out`: torch writes the bias of a linear layer to
memory, has the product added to it, and reads the result once more for the activation. oneDNN adds
the bias and applies GELU as it writes the product, and takes weights in the order in which it reads
them. These layers take 87 % of the time of encoding the seven STS tasks
(``results/timing/roofline.csv``).

The operations are those that torch's compiler calls for a frozen model; they have no gradient.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nsbench.benchmarks.device import is_fake


def lays_out(model: nn.Module) -> bool:
    """Return True if oneDNN can run a model's linear layers: in float32 on a CPU, no gradient.

    In bfloat16 torch uses oneDNN anyway.
    """
    return not torch.is_grad_enabled() and _runs(model)


def _runs(model: nn.Module) -> bool:
    weight = next(model.parameters(), None)
    if weight is None or not wide_on_cpu(weight) or torch.is_autocast_enabled("cpu"):
        return False
    there = torch.backends.mkldnn.is_available()
    return bool(there) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def wide_on_cpu(weight: Tensor) -> bool:
    """Return True for numbers in float32 on a CPU."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and not is_fake(weight)


@contextmanager
def laid_out(model: nn.Module) -> Iterator[None]:
    """Within, oneDNN runs the linear layers of a model whose weights do not change.

    Takes the memory of the weights a second time. Where `lays_out` is false, torch runs them.
    """
    with called(_calls(model) if lays_out(model) else {}):
        yield


@contextmanager
def multiplied(model: nn.Module) -> Iterator[None]:
    """Within, oneDNN runs the linear layers of a model that trains in float32 on a CPU.

    Layers that run in another way already are left as they are. The gradient of a gradient is
    refused.
    """
    layers = [m for m in model.modules() if type(m) is nn.Linear] if _runs(model) else []
    with called({m: partial(_trained, m) for m in layers if "forward" not in m.__dict__}):
        yield


@contextmanager
def called(calls: "dict[nn.Module, partial[Tensor]]") -> Iterator[None]:
    """Within, functions are called in place of the forward passes of modules."""
    for module, call in calls.items():
        module.__dict__["forward"] = call
    try:
        yield
    finally:
        for module in calls:
            del module.__dict__["forward"]


def _calls(model: nn.Module) -> "dict[nn.Module, partial[Tensor]]":
    """Return replacements of linear layers and of blocks of one layer and its GELU."""
    calls: dict[nn.Module, partial[Tensor]] = {
        layer: _call(layer) for layer in model.modules() if type(layer) is nn.Linear
    }
    for block in model.modules():
        dense = _dense_then_gelu(block)
        if dense is not None:
            calls[block] = partial(calls[dense], activation="gelu")
    return calls


def _call(layer: nn.Linear) -> "partial[Tensor]":
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
    bias = None if layer.bias is None else layer.bias.detach()
    return partial(_linear, weight=weight, bias=bias)


def _trained(layer: nn.Linear, states: Tensor) -> Tensor:
    found: Tensor = _Product.apply(states, layer.weight, layer.bias)  # type: ignore[no-untyped-call]
    return found


class _Product(torch.autograd.Function):
    """A linear layer with its gradient, all three products by oneDNN."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(states, weight)
        return _linear(states, weight=weight, bias=bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, weight = ctx.saved_tensors
        left, right = gradient.flatten(0, -2), states.flatten(0, -2)  # (T, out), (T, in)
        to_states, to_weight, to_bias = ctx.needs_input_grad
        of_weight: Tensor | None = None
        if to_weight and len(weight) > weight.shape[1]:  # the left factor is copied
            of_weight = _linear(right.T, weight=left.T, bias=None).T
        elif to_weight:
            of_weight = _linear(left.T, weight=right.T, bias=None)
        return (
            _linear(gradient, weight=weight.T, bias=None) if to_states else None,
            of_weight,
            left.sum(dim=0) if to_bias else None,
        )


def _linear(
    states: Tensor, *, weight: Tensor, bias: Tensor | None, activation: str = "none"
) -> Tensor:
    """``(..., out)`` of states ``(..., in)``."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(
        states, weight, bias, activation, [], "none" if activation == "gelu" else ""
    )
    return found


def _dense_then_gelu(block: nn.Module) -> nn.Linear | None:
    """The linear layer of a BERT's intermediate block, if the exact GELU is all that follows it."""
    dense: Any = getattr(block, "dense", None)
    act: Any = getattr(block, "intermediate_act_fn", None)
    exact = getattr(act, "act", None) is functional.gelu or (
        isinstance(act, nn.GELU) and act.approximate == "none"
    )
    ours = type(block).__name__.endswith("Intermediate") and type(dense) is nn.Linear
    return dense if ours and exact else None
