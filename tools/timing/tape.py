"""Record a step's operations in software, on any device, to prove what a CUDA graph would do.

A tape keeps every operation below autograd with the tensors it read and wrote, and does them again.
Decisions of Python while it was recorded, a learning rate or a shape, stay as they were. Like a
CUDA graph it refuses operations that wait for a number of the device.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from nsbench.benchmarks.runs.executors.variables import variables
from nsbench.benchmarks.training.replay import capture
from nsbench.benchmarks.training.replay.graphs import WaitError, why_it_waits
from nsbench.samplers._waits import Assignments

T = TypeVar("T")
SOFTWARE = "software"
"""Name of the mode in which steps are recorded on tapes, within `modes`."""


@contextmanager
def modes(mode: str) -> Iterator[None]:
    """Within, trainings are opened in a mode of `training.replay.capture`, or in `SOFTWARE`."""
    capture.GRAPHS[SOFTWARE] = lambda generators: Tape
    try:
        with variables({capture.VARIABLE: mode}):
            yield
    finally:
        del capture.GRAPHS[SOFTWARE]


def _refuse(why: str) -> None:
    raise WaitError(why)


class Tape(TorchDispatchMode):
    """A graph in software; see the module."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: list[tuple[Any, Any, Any, Any]] = []

    @property
    def names(self) -> list[str]:
        """Names of the operations, in order."""
        return [str(call[0]) for call in self._calls]

    def record(self, run: Callable[[], T]) -> T:
        """Do it once and record it.

        Raises:
            WaitError: If an operation would wait.
        """
        self._calls.clear()
        with self, Assignments(_refuse):
            return run()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do one operation and record it."""
        kwargs = kwargs or {}
        if why := why_it_waits(func, args, kwargs):
            raise WaitError(why)
        out = func(*args, **kwargs)
        if any(isinstance(t, Tensor) and t.layout != torch.strided for t in tree_leaves(out)):
            raise WaitError(f"{func} makes a sparse tensor, whose size depends on numbers")
        kept = tree_map(lambda leaf: leaf, (args, kwargs))  # lists may be changed by their owners
        self._calls.append((func, *kept, out))
        return out

    def replay(self) -> None:
        """Do all operations again, in order, into the same memory."""
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, out in self._calls:
                returns = [r.alias_info for r in func._schema.returns]
                if any(a is not None and not a.is_write for a in returns):
                    continue  # a view stays what it is
                again = func(*args, **kwargs)
                if any(a is not None for a in returns):
                    continue  # it has written into its arguments
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor):
                        old.copy_(new)
