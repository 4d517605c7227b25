"""Record a step once per shape of its batch, then replay it.

At small batches a device waits for Python most of the time. A recorded step is one call, and gives
what the step would have given. ``NSBENCH_REPLAY`` decides; it is no part of a cell's key, and its
record names it.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.contrast.views import Texts
from nsbench.benchmarks.contrast.world import Stored
from nsbench.benchmarks.training.replay.graphs import DeviceGraph, Graph, WaitError, Watch
from nsbench.benchmarks.training.step import Batch
from nsbench.samplers import one_of

_log = logging.getLogger(__name__)
VARIABLE = "NSBENCH_REPLAY"
"""``auto`` (``graph`` on a CUDA device, ``never`` elsewhere), ``never``, or a mode of `GRAPHS`."""

T = TypeVar("T")
Run = Callable[[Batch, bool], T]
WARM = 2
"""Steps of one shape that are made before one is recorded: memory allocated at first use
(workspaces, the optimizer's moments) must not be part of a recording."""
MOST = 64
"""Recordings kept; steps of further shapes are made one by one."""


class Captured(Generic[T]):
    """Does what ``run`` does; batches of a shape seen before are replayed.

    A replayed step returns the tensors of the recorded one with new numbers in them: read them
    before the next step.

    Args:
        run: Makes a step from a batch and whether it is measured. Everything it reads that changes
            from step to step is in the batch, or in tensors that stay in place.
        new_graph: Makes an empty graph.
        required: Whether a step that cannot be recorded is an error.

    Attributes:
        replayed: Steps that were replayed.
        recorded: Steps that were recorded.
        waits: Operations of a step that wait for the device; if there are any, nothing more is
            recorded.

    Raises:
        WaitError: If recording is required and a step waits for the device.
    """

    def __init__(
        self, run: Run[T], new_graph: Callable[[], Graph], *, required: bool = False
    ) -> None:
        self._run, self._new_graph, self._required = run, new_graph, required
        self._seen: dict[Any, int] = {}
        self._kept: dict[Any, tuple[Graph, Batch, T]] = {}
        self.replayed = self.recorded = 0
        self.waits: list[str] = []

    def __call__(self, batch: Batch, measured: bool) -> T:
        """Make one step."""
        key = (shape_of(batch), measured)
        if key in self._kept:
            graph, still, out = self._kept[key]
            fill(still, batch)
            graph.replay()
            self.replayed += 1
            return out
        times = self._seen[key] = self._seen.get(key, 0) + 1
        if times == WARM and not self.waits:
            with Watch() as watch:
                out = self._run(batch, measured)
            self.waits = watch.waits
            if self.waits and self._required:
                raise WaitError(
                    f"{VARIABLE} asks for recorded steps, and these cannot be: {self.waits[0]}"
                )
            if self.waits:
                _log.warning("steps are made one by one, not recorded: %s", self.waits[0])
            return out
        if times <= WARM or self.waits or len(self._kept) >= MOST:
            return self._run(batch, measured)
        graph, still = self._new_graph(), held(batch)
        out = graph.record(lambda: self._run(still, measured))
        self._kept[key] = graph, still, out
        self.recorded += 1
        return out


def _device_graphs(generators: Sequence[torch.Generator]) -> Callable[[], Graph]:
    pool = torch.cuda.graph_pool_handle()
    return lambda: DeviceGraph(generators, pool)


GRAPHS: dict[str, Callable[[Sequence[torch.Generator]], Callable[[], Graph]]] = {
    "graph": _device_graphs,
}
"""Modes that record: ``graph`` records CUDA graphs. Each takes the generators that steps draw from,
in addition to the device's own, and gives a maker of empty graphs."""


def replay_mode(device: torch.device, chunk: int = 0) -> str:
    """Return how steps are made here: ``never`` or ``graph``.

    Args:
        device: Where training happens.
        chunk: Of the budget; passes in chunks set random states, which cannot be recorded.

    Raises:
        ValueError: If the variable has another value, or asks for a graph without a device.
    """
    wanted = os.environ.get(VARIABLE, "") or "auto"
    one_of("replay", VARIABLE, wanted, ("auto", "never", *GRAPHS))
    if GRAPHS.get(wanted) is _device_graphs and device.type != "cuda":
        raise ValueError(f"{VARIABLE} is {wanted!r}, which needs a CUDA device, not {device}")
    if wanted == "auto":
        wanted = "graph" if device.type == "cuda" else "never"
    return "never" if chunk or team().size > 1 else wanted


def recorder(run: Run[T], mode: str, generators: Sequence[torch.Generator]) -> Run[T]:
    """Return the maker of steps in a mode.

    Where ``NSBENCH_REPLAY`` names the mode, a step that cannot be recorded is an error; where it is
    chosen by ``auto``, the log says so and steps are made one by one.

    Args:
        run: Makes them one by one.
        mode: As `replay_mode` gives it.
        generators: Those that steps draw from, in addition to the device's own.
    """
    if mode == "never":
        return run
    named = os.environ.get(VARIABLE, "") == mode
    return Captured(run, GRAPHS[mode](generators), required=named)


def held(batch: Batch, change: Callable[[Tensor], Tensor] = Tensor.clone) -> Batch:
    """Return a batch with its own tensors, except columns that a pool stores, which stay in place.

    Args:
        batch: The batch.
        change: Makes the new tensor of each other one.
    """

    def own(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        if isinstance(value, Texts):
            return replace(value, ids=change(value.ids))
        if isinstance(value, Stored):
            return replace(value, valid=change(value.valid))
        return tuple(map(own, value)) if isinstance(value, tuple) else value

    return replace(batch, **{f.name: own(getattr(batch, f.name)) for f in fields(batch)})


def _fed(batch: Batch) -> list[Tensor]:
    """Return the tensors of a batch that are new in every step."""
    found: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        found.append(value)
        return value

    held(batch, note)
    return found


def shape_of(batch: Batch) -> tuple[Any, ...]:
    """Return shapes, widths and fixed places, which must equal those of the recorded step."""
    texts, stored = (batch.texts1, batch.texts2, batch.more), batch.stored
    widths = tuple(t.width for t in texts if t is not None)
    absent = tuple(getattr(batch, f.name) is None for f in fields(batch))
    fixed = () if stored is None else (stored.embeddings, stored.texts)
    places = tuple((t.data_ptr(), t.shape, t.dtype) for t in fixed)
    return widths, absent, places, tuple((t.shape, t.dtype) for t in _fed(batch))


def fill(still: Batch, batch: Batch) -> None:
    """Copy the numbers of a batch into the tensors of a `held` one."""
    with torch.no_grad():
        for mine, new in zip(_fed(still), _fed(batch), strict=True):
            mine.copy_(new, non_blocking=True)
