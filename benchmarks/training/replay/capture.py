"""A step recorded once per shape of its batch, then replayed.

At small batches a device waits for Python most of the time. A recorded step is one call, and gives
what the step would have given. ``NSBENCH_REPLAY`` decides, see `MODES`; it is no part of a cell's
key, and stands in its record.
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
from nsbench.benchmarks.encoders import Encoder
from nsbench.benchmarks.training.replay.graphs import DeviceGraph, Graph, Tape, Watch
from nsbench.benchmarks.training.step import Batch
from nsbench.samplers import one_of

_log = logging.getLogger(__name__)
VARIABLE = "NSBENCH_REPLAY"
MODES = ("auto", "never", "graph", "compiled", "software")
"""``auto`` is ``graph`` on a CUDA device and ``never`` elsewhere; ``graph`` records CUDA graphs,
``compiled`` does after ``torch.compile`` of the encoder's layers; ``software`` records operations
on any device, which is slower than ``never`` and there to check what a graph would do."""

T = TypeVar("T")
Run = Callable[[Batch, bool], T]
WARM = 2
"""Steps of one shape that are made as they come before one is recorded: what is made at first use
(workspaces, the optimizer's moments) must not be part of a recording."""
MOST = 64
"""Recordings kept; steps of further shapes are made as they come."""


class Captured(Generic[T]):
    """Does what ``run`` does; batches whose shape has been seen before are replayed.

    What a replayed step returns are the tensors of the recorded one with new numbers in them: they
    are to be read before the next step.

    Args:
        run: Of a batch and whether it is measured. All it reads that changes from step to step is
            in the batch, or in tensors that stay where they are.
        new_graph: Makes an empty graph.

    Attributes:
        replayed: Steps that were replayed.
        recorded: Steps that were recorded.
        waits: Operations of a step that wait for the device; where there are any, nothing is
            recorded.
    """

    def __init__(self, run: Run[T], new_graph: Callable[[], Graph]) -> None:
        self._run, self._new_graph = run, new_graph
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
            if self.waits:
                _log.warning("steps are made as they come, not recorded: %s", self.waits[0])
            return out
        if times <= WARM or self.waits or len(self._kept) >= MOST:
            return self._run(batch, measured)
        graph, still = self._new_graph(), held(batch)
        out = graph.record(lambda: self._run(still, measured))
        self._kept[key] = graph, still, out
        self.recorded += 1
        return out


def replay_mode(device: torch.device, chunk: int = 0) -> str:
    """How steps are made here: ``never``, ``graph``, ``compiled`` or ``software``.

    Args:
        device: Where training happens.
        chunk: Of the budget; passes in chunks set random states, which cannot be recorded.

    Raises:
        ValueError: If the variable says something else, or asks for a graph without a device.
    """
    wanted = os.environ.get(VARIABLE, "") or "auto"
    one_of("replay", VARIABLE, wanted, MODES)
    if wanted in ("graph", "compiled") and device.type != "cuda":
        raise ValueError(f"{VARIABLE} is {wanted!r}, which needs a CUDA device, not {device}")
    if wanted == "auto":
        wanted = "graph" if device.type == "cuda" else "never"
    return "never" if chunk or team().size > 1 else wanted


def recorder(
    run: Run[T], mode: str, device: torch.device, generators: Sequence[torch.Generator]
) -> Run[T]:
    """What makes steps in a mode.

    Args:
        run: Makes them as they come.
        mode: As `replay_mode` gives it.
        device: Where they are made.
        generators: Those that steps draw from, beside the device's own.
    """
    if mode == "never":
        return run
    if mode == "software":
        return Captured(run, Tape)
    pool = torch.cuda.graph_pool_handle()
    return Captured(run, lambda: DeviceGraph(generators, pool))


def compile_layers(encoder: Encoder) -> None:
    """Have ``torch.compile`` make one program of the layers of a transformer, shape by shape.

    Raises:
        ValueError: If the encoder has no layers.
    """
    layers = getattr(getattr(encoder, "model", None), "encoder", None)
    if not isinstance(layers, torch.nn.Module):
        raise ValueError(f"{VARIABLE} is 'compiled', but {type(encoder).__name__} has no layers")
    layers.compile(dynamic=False)


def held(batch: Batch, change: Callable[[Tensor], Tensor] = Tensor.clone) -> Batch:
    """A batch whose tensors belong to nobody else, but for those that stay where they are.

    Args:
        batch: The batch; what a pool stores stays, but for which of it is valid.
        change: Makes its own tensor of each of the others.
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
    """The tensors of a batch that are new in every step."""
    found: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        found.append(value)
        return value

    held(batch, note)
    return found


def shape_of(batch: Batch) -> tuple[Any, ...]:
    """What must be the same for a recorded step to be replayed: shapes, widths, fixed places."""
    texts, stored = (batch.texts1, batch.texts2, batch.more), batch.stored
    widths = tuple(t.width for t in texts if t is not None)
    absent = tuple(getattr(batch, f.name) is None for f in fields(batch))
    fixed = () if stored is None else (stored.embeddings, stored.texts)
    places = tuple((t.data_ptr(), t.shape, t.dtype) for t in fixed)
    return widths, absent, places, tuple((t.shape, t.dtype) for t in _fed(batch))


def fill(still: Batch, batch: Batch) -> None:
    """Put the numbers of a batch where a `held` one has its own."""
    with torch.no_grad():
        for mine, new in zip(_fed(still), _fed(batch), strict=True):
            mine.copy_(new, non_blocking=True)
