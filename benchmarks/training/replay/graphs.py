"""What is done to a device's memory, written down once and done again without Python.

Two writers with one contract. `DeviceGraph` is a CUDA graph. `Tape` does the same in software on
any device: it writes down every operation below autograd with the very tensors it read and wrote,
and does them again. Whatever Python decided while it was written, a learning rate or a shape, stays
as it was, so a tape shows on a CPU what a CUDA graph would do, and refuses what one refuses: to
wait for a number of the device.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

T = TypeVar("T")


class WaitError(RuntimeError):
    """An operation would wait for the device, or for memory of the host to reach it."""


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Work on a stream of one's own, beside others and as recordings need it; of CUDA devices."""
    if device.type != "cuda":
        yield
        return
    outer, stream = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    stream.wait_stream(outer)
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield
    outer.wait_stream(stream)


class Watch(TorchDispatchMode):
    """Within, operations that would wait are named, and done all the same.

    Attributes:
        waits: What they are, in their order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do one operation."""
        try:
            refuse(func, args, kwargs or {})
        except WaitError as error:
            self.waits.append(str(error))
        return func(*args, **(kwargs or {}))


class Graph(Protocol):
    """Something that can be done again."""

    def record(self, run: Callable[[], T]) -> T:
        """Do it once, and write it down.

        Args:
            run: What to do. Its tensors stay where they are, and hold the new numbers after each
                `replay`.

        Returns:
            What ``run`` gives.
        """
        ...

    def replay(self) -> None:
        """Do it again, with what its inputs hold now."""
        ...


class DeviceGraph:
    """A CUDA graph, on the current stream, which must not be the default one.

    Args:
        generators: Those that ``run`` draws from, beside the device's own.
        pool: Memory shared with other graphs that are never replayed at the same time.
    """

    def __init__(self, generators: Sequence[torch.Generator], pool: Any = None) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._pool = pool
        for generator in generators:
            self._graph.register_generator_state(generator)

    def record(self, run: Callable[[], T]) -> T:
        """Write it down, then do it once.

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


class Tape(TorchDispatchMode):
    """A graph in software; see the module.

    Attributes:
        names: The operations, in their order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: list[tuple[Any, Any, Any, Any]] = []

    @property
    def names(self) -> list[str]:
        """The operations, in their order."""
        return [str(call[0]) for call in self._calls]

    def record(self, run: Callable[[], T]) -> T:
        """Do it once, and write it down.

        Raises:
            WaitError: If an operation would wait.
        """
        self._calls.clear()
        with self:
            return run()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do one operation, and write it down."""
        kwargs = kwargs or {}
        refuse(func, args, kwargs)
        out = func(*args, **kwargs)
        if any(isinstance(t, Tensor) and t.layout != torch.strided for t in tree_leaves(out)):
            raise WaitError(f"{func} makes a sparse tensor, whose size depends on numbers")
        kept = tree_map(lambda leaf: leaf, (args, kwargs))  # lists may be changed by their owners
        self._calls.append((func, *kept, out))
        return out

    def replay(self) -> None:
        """Do all operations again, in their order, into the same memory."""
        with torch.no_grad(), torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, out in self._calls:
                returns = [r.alias_info for r in func._schema.returns]
                if any(a is not None and not a.is_write for a in returns):
                    continue  # a view stays what it is
                again = func(*args, **kwargs)
                if any(a is not None for a in returns):
                    continue  # it has written into what it was given
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor):
                        old.copy_(new)


_TAGS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_UPLOADS = ("aten::lift_fresh", "aten::lift_fresh_copy", "aten::lift")


def refuse(func: Any, args: Any, kwargs: Any) -> None:
    """Raise if an operation would wait for a device, were its tensors on one.

    Args:
        func: The operation.
        args: What it is given by place.
        kwargs: What it is given by name.

    Raises:
        WaitError: It reads a number, has a shape that depends on numbers, makes a tensor of
            Python's numbers, or moves one between host and device.
    """
    name = func._schema.name
    indices = name in (
        "aten::index",
        "aten::index_put",
        "aten::index_put_",
        "aten::_index_put_impl_",
    )
    if indices:
        flags = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
        if flags:
            raise WaitError(f"{func} by a mask has to count what is under it")
    elif any(tag in func.tags for tag in _TAGS):
        raise WaitError(f"{func} needs numbers of the device on the host")
    if name in _UPLOADS and args[0].dim():  # a single number goes along with the operation
        raise WaitError(
            f"{func}: a tensor made of Python's numbers has to be brought to the device"
        )
    if name in ("aten::_to_copy", "aten::copy_"):
        places = {t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        wanted = kwargs.get("device")
        places |= {torch.device(wanted).type} if wanted is not None else set()
        if len(places) > 1:
            raise WaitError(f"{func} moves a tensor between {' and '.join(sorted(places))}")
