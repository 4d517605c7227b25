"""Precision of an encoder's products, and products in bfloat16 on a CPU that has none.

An x86 CPU without AVX-512 computes products in bfloat16 one number at a time: a layer takes many
times as long as in float32. Such a product is one of rounded numbers, summed in float32 and
rounded; so the numbers are rounded, the product is taken in float32, and the result is rounded.
Gradients are treated likewise, as those of the roundings are rounded. The order of the sums alone
differs from other machines'.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from nsbench.benchmarks.precision import has_bf16, lacks_bf16

_SLOWER = 1.5
"""Times as long as in float32 from which a product in bfloat16 is worth a word."""
_KINDS = (torch.float32, torch.bfloat16, torch.float16)
_NAMES = ("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm")
_PRODUCTS = {
    functional.linear,
    functional.scaled_dot_product_attention,
    torch.einsum,
    *(getattr(of, name) for of in (torch, Tensor) for name in _NAMES if hasattr(of, name)),
}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context an encoder runs in; weights, losses and statistics stay in float32.

    Args:
        precision: ``fp32``, ``bf16``, or ``auto``: bfloat16 on a GPU that has it, else float32.
        device: Where the encoder is.
    """
    wanted = precision == "bf16" or (
        precision == "auto" and device.type == "cuda" and has_bf16(device)
    )
    # Weights that were cast once and kept would not be cast again when a step is replayed.
    kept = device.type != "cuda"
    if not wanted:
        return nullcontext()
    cast = torch.autocast(device.type, torch.bfloat16, cache_enabled=kept)
    return _rounding(cast) if lacks_bf16(device) else cast


@contextmanager
def _rounding(cast: torch.autocast) -> Iterator[None]:
    with cast, RoundedProducts():
        yield


def rounded_products(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context that takes products in bfloat16 in float32, of rounded numbers.

    On a device that has such products, it does nothing.

    Args:
        device: Where the numbers are.
    """
    return RoundedProducts() if lacks_bf16(device) else nullcontext()


class RoundedProducts(TorchFunctionMode):
    """Within, products in bfloat16 on a CPU are taken in float32, of rounded numbers.

    Products in other precisions are left to torch, and so are those that torch's own compound
    layers take, such as ``nn.MultiheadAttention``.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func not in _PRODUCTS or "out" in named or not _narrow([*args, *named.values()]):
            return func(*args, **named)
        with torch.autocast("cpu", enabled=False):
            wide = {name: _rounded(value) for name, value in named.items()}
            return func(*map(_rounded, args), **wide).bfloat16()


def _narrow(values: Iterable[Any]) -> bool:
    """Return whether torch would take a product of these on a CPU in bfloat16."""
    kinds = {x.dtype for x in values if is_number(x) and x.device.type == "cpu"}
    if not kinds or not kinds.issubset(_KINDS):
        return False
    return torch.is_autocast_enabled("cpu") or kinds == {torch.bfloat16}


def _rounded(value: Any) -> Any:
    return value.bfloat16().float() if is_number(value) else value


def is_number(value: Any) -> bool:
    """Return whether a value is a tensor of floating-point numbers."""
    return isinstance(value, Tensor) and value.is_floating_point()


def slow_bf16(precisions: Iterable[str], device: torch.device) -> str:
    """Say how much slower bfloat16 is than float32 here; empty where none asks for it, or none is.

    Args:
        precisions: Of everything that is to run.
        device: Where it runs.
    """
    if "bf16" not in precisions or has_bf16(device):
        return ""
    times = _times(device)
    if times < _SLOWER:
        return ""
    kind = "CPU" if device.type == "cpu" else device.type
    return (
        f"precision is 'bf16', in which a layer takes about {times:.0f} times as long as in "
        f"'fp32' on this {kind}: choose 'fp32', or another machine; cells of another precision are "
        "other cells"
    )


def _times(device: torch.device) -> float:
    """Return how many times as long as in float32 a small layer takes in bfloat16, on one core.

    The least times of several rounds are compared, as other processes come and go.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rounds = [(_seconds(device, "bfloat16"), _seconds(device, "float32")) for _ in range(6)]
    finally:
        torch.set_num_threads(threads)
    bf16, fp32 = (min(spent) for spent in zip(*rounds, strict=True))
    return float(bf16 / fp32)


def _seconds(device: torch.device, kind: str) -> float:
    """Return the seconds of a step of a small layer, the second of two."""
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    told: dict[str, Any] = {"device": device, "dtype": getattr(torch, kind), "requires_grad": True}
    texts, weights = torch.ones(128, 384, **told), torch.ones(384, 384, **told)
    start = 0.0
    for _ in range(2):
        wait()
        start = perf_counter()
        with rounded_products(device):
            torch.nn.functional.linear(texts, weights).sum().backward()
        wait()
    return perf_counter() - start
