"""Estimated cost of a matrix, from measured cells; no number where no rate was measured."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.records import RecordError, ResultsFolder, RunRecord, read_record
from nsbench.benchmarks.records.cell import Cell
from nsbench.benchmarks.records.shared import Shared

MEASURED = 2000
"""Cells of a folder that rates are taken from; a larger one is sampled."""


@dataclass(frozen=True)
class Measured:
    """One finished cell, as far as it says what others will cost.

    Attributes:
        cell: Its plain data.
        fixed: Seconds that do not grow with the steps: data, encoder, evaluation.
        step: Seconds of a step; 0 if it took none.
        passes: Texts through the encoder.
        size: Bytes of its folder.
        gpu: Whether it ran on a CUDA device.
    """

    cell: dict[str, Any]
    fixed: float
    step: float
    passes: float
    size: int
    gpu: bool


@dataclass(frozen=True)
class Estimate:
    """Cells that are still to run, and their cost.

    Attributes:
        cells: Cells to run.
        measured: Cells to run for which there is a rate.
        seconds: Of work, for the measured ones, one after the other.
        passes: Encoder passes.
        size: Bytes on disk.
        gpu_seconds: The part of ``seconds`` that is spent on a CUDA device.
        sources: Finished cells that the rates come from.
    """

    cells: int
    measured: int
    seconds: float
    passes: float
    size: float
    gpu_seconds: float
    sources: int

    def words(self, workers: int) -> list[str]:
        """The estimate in sentences."""
        if not self.cells:
            return ["nothing is to be run"]
        if not self.measured:
            return [
                "no estimate: no finished cell of this encoder and data set is in this folder or "
                "in one next to it; run a few steps first, such as with --scale 0.02 --out DIR"
            ]
        wall = self.seconds / max(1, workers)
        rest = self.cells - self.measured
        lines = [
            f"estimate for {self.measured} cells to run: {duration(self.seconds)} of work, "
            f"{duration(wall)} with {workers} workers like those measured; {self.passes:.3g} "
            f"encoder passes; {self.size / 1e6:.3g} MB; {self.gpu_seconds / 3600:.3g} GPU-hours",
            f"from {self.sources} finished cells of the same encoder and data",
        ]
        if rest:
            lines.append(f"{rest} more cells have an encoder or data that was never measured")
        return lines


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def measured_cells(folder: ResultsFolder, most: int = MEASURED) -> list[Measured]:
    """The finished cells of a results folder and of those next to it, an even share of many."""
    beside = folder.root.parent.iterdir() if folder.root.parent.is_dir() else ()
    roots = sorted({folder.root, *(p for p in beside if (p / "matrix.json").is_file())})
    found, shared = [], Shared()
    for root in roots:
        there = list(ResultsFolder(root).folders())
        for paths in there[:: -(-len(there) // most) or 1]:
            with suppress(RecordError):
                if (record := read_record(paths, shared)).status == "done":
                    found.append(_measured(paths.folder, record))
    return found


def _measured(folder: Path, record: RunRecord) -> Measured:
    steps = int(record.cell.get("budget", {}).get("steps", 0))
    train, total = (float(record.seconds.get(k, 0.0)) for k in ("train", "total"))
    return Measured(
        cell=record.cell,
        fixed=total - train,
        step=train / steps if steps else 0.0,
        passes=float(record.cost.get("passes", 0.0)),
        size=sum(p.stat().st_size for p in folder.iterdir() if p.is_file()),
        gpu=str(record.environment.get("device", "")).startswith("cuda"),
    )


def estimate(cells: Sequence[Cell], known: Sequence[Measured]) -> Estimate:
    """Return what these cells will cost.

    A cell is measured by the finished cells of the same encoder and data: those of the same
    sampler, budget and evaluation if there are any, then the same batch size, then any. Their
    medians of fixed seconds and of seconds per step are taken apart, so that another number of
    steps is no obstacle.
    """
    pools: dict[str, list[Measured]] = {}
    for m in known:
        for level in range(4):
            pools.setdefault(_likeness(m.cell, level), []).append(m)
    rates: dict[str, _Rates] = {}
    total, count = _Rates(), 0
    used: set[int] = set()
    for cell, number in alike(cells):
        plain = cell.plain()
        name = next((n for i in range(4) if (n := _likeness(plain, i)) in pools), None)
        if name is None:
            continue
        if name not in rates:
            rates[name] = _rates(pools[name])
            used |= {id(m) for m in pools[name]}
        rate, steps = rates[name], cell.budget.steps
        seconds = rate.seconds + steps * rate.step
        per_step = rate.passes or 2.0 * cell.budget.batch_size
        count += number
        total.seconds += number * seconds
        total.passes += number * steps * per_step
        total.size += number * rate.size
        total.gpu += number * seconds * rate.gpu
    return Estimate(
        len(cells), count, total.seconds, total.passes, total.size, total.gpu, len(used)
    )


@dataclass
class _Rates:
    """Medians of cells that are alike, and the share of them that ran on a CUDA device.

    Fixed seconds, seconds and encoder passes of a step, bytes on disk.
    """

    seconds: float = 0.0
    step: float = 0.0
    passes: float = 0.0
    size: float = 0.0
    gpu: float = 0.0


def _rates(alike: Sequence[Measured]) -> _Rates:
    stepped = [m for m in alike if m.step]
    return _Rates(
        seconds=median(m.fixed for m in alike),
        step=_median(m.step for m in stepped),
        passes=_median(m.passes / m.cell["budget"]["steps"] for m in stepped),
        size=median(m.size for m in alike),
        gpu=sum(m.gpu for m in alike) / len(alike),
    )


def alike(cells: Sequence[Cell]) -> list[tuple[Cell, int]]:
    """Return cells that share all but their seed once, and how many of them there are."""
    found: dict[tuple[int, ...], tuple[Cell, int]] = {}
    for cell in cells:
        parts = (cell.sampler, cell.objective, cell.candidates, cell.encoder, cell.data)
        others = (cell.budget, cell.evaluation, *cell.view1, *cell.view2)
        place = (len(cell.view1), cell.limit, *map(id, (*parts, cell.regime, *others)))
        first, number = found.get(place, (cell, 0))
        found[place] = first, number + 1
    return list(found.values())


def _median(values: Any) -> float:
    found = list(values)
    return median(found) if found else 0.0


def _likeness(cell: dict[str, Any], level: int) -> str:
    """Return the parts in which a measured cell must agree: many at level 0, few at level 3."""
    budget, parts = cell.get("budget", {}), [level, cell.get("encoder"), cell.get("data")]
    if level < 3:
        parts += [budget.get("batch_size"), bool(budget.get("steps"))]
    if level < 2:
        parts += [cell.get("sampler"), cell.get("evaluation")]
    if level < 1:
        parts += [cell.get("augmentation"), cell.get("objective"), cell.get("candidates")]
    return canonical_json(parts)  # a record's own order of parameters is another one
