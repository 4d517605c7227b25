"""Precision of an encoder's products, and which ones a device is fast in."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_BF16 = ("avx512_bf16", "amx_bf16")
"""Names that torch gives to a CPU's instructions for products in bfloat16."""
_SLOWER = 1.5
"""Times as long as in float32 from which a product in bfloat16 is worth a word."""


def autocast(precision: str, device: "torch.device") -> AbstractContextManager[Any]:
    """Return the context an encoder runs in; weights, losses and statistics stay in float32.

    Args:
        precision: ``fp32``, ``bf16``, or ``auto``: bfloat16 on a GPU that has it, else float32.
        device: Where the encoder is.
    """
    import torch

    wanted = precision == "bf16" or (
        precision == "auto" and device.type == "cuda" and has_bf16(device)
    )
    # Weights that were cast once and kept would not be cast again when a step is replayed.
    kept = device.type != "cuda"
    return (
        torch.autocast(device.type, torch.bfloat16, cache_enabled=kept) if wanted else nullcontext()
    )


def has_bf16(device: "torch.device") -> bool:
    """Return whether a device is known to have instructions for products in bfloat16.

    Others compute them, too, most of them more slowly than in float32: GPUs before Ampere, such as
    a T4, and CPUs with AVX2 alone.
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in _BF16)


def slow_bf16(precisions: Iterable[str], device: "torch.device") -> str:
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


def _times(device: "torch.device") -> float:
    """Return how many times as long as in float32 a small layer takes in bfloat16, on one core.

    The least times of several rounds are compared, as other processes come and go.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rounds = [(_seconds(device, "bfloat16"), _seconds(device, "float32")) for _ in range(6)]
    finally:
        torch.set_num_threads(threads)
    bf16, fp32 = (min(spent) for spent in zip(*rounds, strict=True))
    return float(bf16 / fp32)


def _seconds(device: "torch.device", kind: str) -> float:
    """Return the seconds of a step of a small layer, the second of two."""
    import torch

    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    told: dict[str, Any] = {"device": device, "dtype": getattr(torch, kind), "requires_grad": True}
    texts, weights = torch.ones(128, 384, **told), torch.ones(384, 384, **told)
    start = 0.0
    for _ in range(2):
        wait()
        start = perf_counter()
        torch.nn.functional.linear(texts, weights).sum().backward()
        wait()
    return perf_counter() - start
