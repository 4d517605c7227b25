"""Precisions that a device has instructions for."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_BF16 = ("avx512_bf16", "amx_bf16")
"""Names that torch gives to a CPU's instructions for products in bfloat16."""


def lacks_bf16(device: "torch.device") -> bool:
    """Return whether a device computes products in bfloat16 one number at a time.

    Those are x86 CPUs without AVX-512, for which oneDNN has no such product.
    """
    return device.type == "cpu" and _capabilities().get("avx512_bw") is False


def has_bf16(device: "torch.device") -> bool:
    """Return whether a device is known to have instructions for products in bfloat16.

    Others compute them, too, most of them more slowly than in float32: GPUs before Ampere, such as
    a T4, and CPUs with AVX2 alone.
    """
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = _capabilities()
    return any(capabilities.get(name) for name in _BF16)


def _capabilities() -> dict[str, Any]:
    """Return what torch knows of this CPU; nothing on other architectures than x86."""
    import torch

    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return found


def cpu_features() -> str:
    """Return the instructions of this CPU that rounding depends on, such as ``AVX512 amx_bf16``."""
    import torch

    capabilities = _capabilities()
    narrow = [name for name in _BF16 if capabilities.get(name)]
    return " ".join([str(torch.backends.cpu.get_cpu_capability()), *narrow])
