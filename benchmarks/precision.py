"""Precision of an encoder's products."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def autocast(precision: str, device: "torch.device") -> AbstractContextManager[Any]:
    """Return the context an encoder runs in; weights, losses and statistics stay in float32.

    Args:
        precision: ``fp32``, ``bf16``, or ``auto``: bfloat16 on a GPU that has it, else float32.
        device: Where the encoder is.
    """
    import torch

    wanted = precision == "bf16" or (
        precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    # Weights that were cast once and kept would not be cast again when a step is replayed.
    kept = device.type != "cuda"
    return (
        torch.autocast(device.type, torch.bfloat16, cache_enabled=kept) if wanted else nullcontext()
    )
