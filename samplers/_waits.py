"""Assignments that make a CUDA device wait, though tensors of other devices do not show it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class Assignments(TorchFunctionMode):
    """Within, each ``t[i] = 3`` of one element by a Python number is reported, and still done.

    For a CUDA tensor torch makes the number a tensor of the host and copies that; ``t[i:] = 3`` is
    filled in.

    Args:
        report: Gets a sentence on each.
    """

    def __init__(self, report: Callable[[str], object]) -> None:
        super().__init__()
        self._report = report

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Check one call, then make it."""
        if func is Tensor.__setitem__ and not isinstance(args[2], Tensor):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if len(index) == args[0].dim() and all(type(i) is int for i in index):
                self._report("t[i] = 3 waits for the device: Python's number is brought to it")
        return func(*args, **(kwargs or {}))
