"""Devices by name. torch is imported when a device is asked for."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> "torch.device":
    """Return a device by name; ``auto`` is the first CUDA device, else the CPU.

    Raises:
        ValueError: If it names a CUDA device and there is none.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {name!r}, but torch sees no CUDA device here")
    return torch.device(name)


def device_name(name: str) -> str:
    """Return the name of the device that results depend on to the last bit."""
    import torch

    if name == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return torch.cuda.get_device_name(None if name == "auto" else name)


def is_fake(tensor: "torch.Tensor") -> bool:
    """Return True for a tensor of a shape without numbers, as in tests of waits for a device."""
    module = sys.modules.get("torch._subclasses.fake_tensor")
    return module is not None and bool(module.is_fake(tensor))
