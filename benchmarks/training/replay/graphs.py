"""Record device operations and replay them without Python, as a CUDA graph.

A graph cannot hold an operation that waits for a number of the device; `Watch` names those.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")


class WaitError(RuntimeError):
    """An operation would wait for the device, or for memory of the host to reach it."""


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Work on a separate stream of a CUDA device, as recording needs it."""
    if device.type != "cuda":
        yield
        return
    outer, stream = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    stream.wait_stream(outer)
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield
    outer.wait_stream(stream)


class Graph(Protocol):
    """Work that can be replayed."""

    def record(self, run: Callable[[], T]) -> T:
        """Do it once and record it.

        Args:
            run: The work. Its tensors stay in place and hold new numbers after each `replay`.

        Returns:
            The result of ``run``.
        """
        ...

    def replay(self) -> None:
        """Do it again, with the numbers its inputs hold now."""
        ...


class DeviceGraph:
    """A CUDA graph, on the current stream, which must not be the default one.

    Args:
        generators: Those that ``run`` draws from, in addition to the device's own.
        pool: Memory shared with other graphs that are never replayed at the same time.
    """

    def __init__(self, generators: Sequence[torch.Generator], pool: Any = None) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._pool = pool
        for generator in generators:
            self._graph.register_generator_state(generator)

    def record(self, run: Callable[[], T]) -> T:
        """Record it, then do it once.

        Raises:
            WaitError: If ``run`` waits for the device.
        """
        stream = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(
                self._graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
            ):
                out = run()
        except RuntimeError as error:
            raise WaitError(f"a CUDA graph cannot hold this: {error}") from error
        self.replay()
        return out

    def replay(self) -> None:
        """Do it again; the host does not wait for it."""
        self._graph.replay()


class Watch(TorchDispatchMode):
    """Within, operations that would wait are named and still done.

    Attributes:
        waits: Their names, in order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do one operation."""
        if why := why_it_waits(func, args, kwargs or {}):
            self.waits.append(why)
        return func(*args, **(kwargs or {}))


_INDICES = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
_TAGS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_UPLOADS = ("aten::lift_fresh", "aten::lift_fresh_copy", "aten::lift")


def why_it_waits(func: Any, args: Any, kwargs: Any) -> str:
    """Return why an operation would wait for a device with its tensors on one; empty if it won't.

    It waits if it reads a number, has a shape that depends on numbers, creates a tensor from
    Python's numbers, or moves one between host and device.
    """
    name = func._schema.name
    if name in _INDICES:
        if any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]):
            return f"{func} by a mask has to count what is under it"
        if any(i is not None and i.device.type != args[0].device.type for i in args[1]):
            return f"{func} brings its index to {args[0].device.type}"
    elif any(tag in func.tags for tag in _TAGS):
        return f"{func} needs numbers of the device on the host"
    if name in _UPLOADS and args[0].dim():  # a single number goes along with the operation
        return f"{func}: a tensor made from Python's numbers has to be brought to the device"
    if name in ("aten::_to_copy", "aten::copy_"):
        places = {t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        wanted = kwargs.get("device")
        places |= {torch.device(wanted).type} if wanted is not None else set()
        if len(places) > 1:
            return f"{func} moves a tensor between {' and '.join(sorted(places))}"
    return ""
