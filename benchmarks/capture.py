"""A step recorded once per shape of its batch, then replayed.

At small batches a device waits for Python most of the time. A recorded step is one call, and gives
what the step would have given. ``NSBENCH_REPLAY`` decides, see `MODES`; it is no part of a cell's
key, and stands in its record.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from nsbench.benchmarks.candidates import Stored
from nsbench.benchmarks.distributed import team
from nsbench.benchmarks.encoders import Encoder
from nsbench.benchmarks.encoders._attention import packing
from nsbench.benchmarks.graphs import DeviceGraph, Graph, Tape, Watch
from nsbench.benchmarks.step import Batch
from nsbench.benchmarks.views import Texts
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
    packing()  # which may be said wrongly, too
    wanted = os.environ.get(VARIABLE, "") or "auto"
    one_of("replay", VARIABLE, wanted, MODES)
    if wanted in ("graph", "compiled") and device.type != "cuda":
        raise ValueError(f"{VARIABLE} is {wanted!r}, which needs a CUDA device, not {device}")
    if wanted == "auto":
        wanted = "graph" if device.type == "cuda" else "never"
    return "never" if chunk or team().size > 1 else wanted


def way_of_steps(device: torch.device, chunk: int) -> str:
    """What a record says of how its steps were made: the `replay_mode`, and whether packed."""
    return replay_mode(device, chunk) + (", packed" if packing() else "")


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


@dataclass(frozen=True)
class _Slot:
    """A tensor of a batch, and whether it stays where it is from step to step."""

    value: Tensor
    stays: bool


def _slots(batch: Batch) -> dict[str, _Slot]:
    """The tensors of a batch by name; what a pool stores stays where it is."""
    found: dict[str, _Slot] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Texts):
            found[field.name] = _Slot(value.ids, stays=False)
        elif isinstance(value, Stored):
            for part in fields(value):
                name = f"{field.name}.{part.name}"
                found[name] = _Slot(getattr(value, part.name), part.name != "valid")
        elif isinstance(value, tuple):
            for place, part in enumerate(value):
                found[f"{field.name}.{place}"] = _Slot(part, stays=False)
        elif value is not None:
            found[field.name] = _Slot(value, stays=False)
    return found


def shape_of(batch: Batch) -> tuple[Any, ...]:
    """What must be the same for a recorded step to be replayed: shapes, widths, fixed places."""
    texts = (batch.texts1, batch.texts2, batch.more)
    widths = tuple((t.width, t.room if packing() else 0) for t in texts if t is not None)
    slots = tuple(
        (name, tuple(slot.value.shape), slot.value.dtype, slot.value.data_ptr() * slot.stays)
        for name, slot in _slots(batch).items()
    )
    return widths, slots


def held(batch: Batch) -> Batch:
    """A copy of a batch whose tensors belong to nobody else, but for those that stay."""

    def copy(texts: Texts) -> Texts:
        return replace(texts, ids=texts.ids.clone())

    stored, owned = batch.stored, batch.owned
    return replace(
        batch,
        rows=batch.rows.clone(),
        texts1=copy(batch.texts1),
        texts2=copy(batch.texts2),
        more=None if batch.more is None else copy(batch.more),
        owned=None if owned is None else (owned[0].clone(), owned[1].clone()),
        stored=None if stored is None else replace(stored, valid=stored.valid.clone()),
        mined_scores=None if batch.mined_scores is None else batch.mined_scores.clone(),
        progress=batch.progress.clone(),
        rate=batch.rate.clone(),
    )


def fill(still: Batch, batch: Batch) -> None:
    """Put the numbers of a batch where a `held` one has its own."""
    with torch.no_grad():
        for mine, new in zip(_slots(still).values(), _slots(batch).values(), strict=True):
            if not mine.stays:
                mine.value.copy_(new.value, non_blocking=True)
