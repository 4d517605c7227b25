"""Small tables of fixed numbers, brought to a device once, since bringing them waits for it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nsbench.benchmarks.device import is_fake
from nsbench.samplers._cache import cached


def constant(values: Sequence[float], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return ``(n,)`` fixed numbers on the device of a tensor; do not change them in place."""
    dtype = dtype or like.dtype
    if is_fake(like):
        return torch.tensor(values, dtype=dtype, device=like.device)
    return _kept(tuple(values), dtype, like.device)


@cached(4096)  # far more than the live step graphs that read their memory
def _kept(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
