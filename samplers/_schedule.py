"""Parameters that move during training: a number, or a 0-dim tensor in its place."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

Number = float | Tensor


def scheduled(component: T, parameter: str, value: Tensor) -> T:
    """A copy of a frozen component with one parameter replaced by a 0-dim tensor.

    Only parameters that the class lists in ``schedulable`` may be replaced: for those it promises
    a formula that takes a tensor in place of the number. The tensor is not checked against the
    parameter's range, since that would wait for the device.
    """
    moved = copy.copy(component)
    object.__setattr__(moved, parameter, value)
    return moved


SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1 - torch.cos(torch.pi * progress)) / 2,
    "step": lambda progress: (progress >= 0.5).to(progress.dtype),
}
"""Share of the way from start to end by progress in [0, 1]."""


def interpolate(start: float, end: float, progress: Tensor, schedule: str) -> Tensor:
    """0-dim value between ``start`` and ``end`` at ``progress``."""
    return start + (end - start) * SCHEDULES[schedule](progress)


def whole(value: Any) -> Any:
    """A scheduled count rounded to the nearest whole number; a plain number as it is."""
    return torch.round(value) if isinstance(value, Tensor) else value
