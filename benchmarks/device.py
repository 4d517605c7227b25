"""Devices by name. torch is imported when a device is asked for."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> "torch.device":
    """``auto`` is the first CUDA device, or the CPU where there is none.

    Raises:
        ValueError: If a CUDA device is asked for and none is there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {name!r}, but torch sees no CUDA device here")
    return torch.device(name)


def device_name(name: str) -> str:
    """What a device asked for is, as far as the last bit of a result depends on it."""
    import torch

    if name == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return torch.cuda.get_device_name(None if name == "auto" else name)


def is_fake(tensor: "torch.Tensor") -> bool:
    """Whether it has a shape and no numbers, as in tests of what waits for a device."""
    module = sys.modules.get("torch._subclasses.fake_tensor")
    return module is not None and bool(module.is_fake(tensor))
