"""Cost of logging difficulty, as a paired ratio of step times with and without it.

    python -m tools.timing.difficulty

Two arms of one training run take turns block by block on the same texts; a block is one logging
interval, so it holds one full measurement; step and measurement are those of a cell. Printed are
the median of the paired ratios and their quartiles, in processor time of this process, which other
work on the machine disturbs less than the clock, and the share of logging in its own blocks.
Target: under 1.03 on MiniLM's lower layers. The probe, measured five times in a training of any
length, is timed separately and shown as a share of a whole cell.
"""

import argparse
import platform
import statistics as numbers
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.difficulty.probe import MEASUREMENTS
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.step import Method
from nsbench.benchmarks.training.train import Training, batch_of
from nsbench.samplers import samplers

TARGET = 1.03
EVERY = 10
_ENDLESS = (
    1_000_000  # steps of a training whose quarters, when the probe is measured, are not reached
)
SOURCE = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Case:
    """A cell that is timed.

    Attributes:
        name: Its name in the table.
        encoder: Name of the encoder.
        settings: Its parameters.
        batch: B.
        steps: Steps of a whole cell, of which the probe is a share.
        judged: Whether the target is meant for it.
    """

    name: str
    encoder: str
    settings: tuple[tuple[str, object], ...]
    batch: int
    steps: int
    judged: bool


CASES = (
    Case("MiniLM, 3 layers", "transformer", (("source", SOURCE), ("layers", 3)), 64, 100, True),
    Case("static, d = 384", "static", (("source", SOURCE),), 256, 200, False),
)


@dataclass(frozen=True)
class Measured:
    """Times that were measured.

    Attributes:
        plain: Seconds of a step without logging, one per block.
        logged: Seconds of a step with it, paired.
        inside: Seconds per step spent in logging itself, within ``logged``.
        probe: Seconds of one measurement of the probe.
    """

    plain: tuple[float, ...]
    logged: tuple[float, ...]
    inside: tuple[float, ...]
    probe: float

    @property
    def ratios(self) -> list[float]:
        """Paired ratios, one per block."""
        return [b / a for a, b in zip(self.plain, self.logged, strict=True)]

    @property
    def added(self) -> float:
        """Median of logging's own time over the rest of its block: less noisy than the ratios."""
        pairs = zip(self.logged, self.inside, strict=True)
        return numbers.median(inside / (whole - inside) for whole, inside in pairs)

    def probe_share(self, steps: int) -> float:
        """Return the time of measuring the probe as a share of a cell's steps."""
        return (MEASUREMENTS + 1) * self.probe / (steps * numbers.median(self.plain))


class Trainer:
    """A training as in a cell, in-batch negatives and InfoNCE, whose steps are measured on request.

    Args:
        encoder: On the CPU.
        data: Training rows.
        batch: B.
        length: Longest text in tokens.
        every: Steps from one full measurement to the next.
    """

    def __init__(
        self, encoder: Encoder, data: TrainingData, batch: int, length: int, every: int = EVERY
    ) -> None:
        self.every = every
        budget = Budget(
            steps=_ENDLESS,
            batch_size=batch,
            learning_rate=1e-5,
            max_length=length,
            precision="fp32",
        )
        method = Method(
            sampler=samplers.make("in_batch"),
            objective=objectives.make("info_nce"),
            views=((), ()),
            pool=candidates.make("in_batch"),
            directions="one",
            budget=budget,
        )
        self.training = Training(
            encoder,
            data,
            method,
            torch.device("cpu"),
            seed_for=lambda purpose: seed_for(1, purpose),
            every=every,
        )

    def block(self, start: int, steps: int, *, logged: bool) -> tuple[float, float]:
        """Seconds of processor time per step over a block of steps, and those spent in logging.

        Args:
            start: Number of the first step, a multiple of `every`; it decides the texts, too.
            steps: Steps of the block; the first is measured in full.
            logged: Whether difficulty is logged.
        """
        made, inside = self.training, 0.0
        size, rows = made.method.budget.batch_size, made.world.data.rows
        before = time.process_time()
        for step in range(start, start + steps):
            first = step * size % (rows - size)
            taken = np.arange(first, first + size)
            batch = batch_of(made.world, made.method, taken, step, made.pool)
            stepped = made.make_step(batch)
            if logged:
                began = time.process_time()
                seen = made.measures.see(batch, stepped) if made.measures.due(step) else {}
                made.measures.add(step, stepped, seen, made.pool)
                inside += time.process_time() - began
        return (time.process_time() - before) / steps, inside / steps


def measure(trainer: Trainer, blocks: int) -> Measured:
    """Paired blocks, the order turned round from one pair to the next.

    Args:
        trainer: Makes the steps; a block is as long as its logging interval.
        blocks: Pairs, at least 2.
    """
    every = trainer.every
    for logged in (False, True):
        trainer.block(0, 1, logged=logged)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    inside: list[float] = []
    for block in range(1, blocks + 1):
        for logged in (False, True) if block % 2 else (True, False):
            whole, part = trainer.block(block * every, every, logged=logged)
            seconds[logged].append(whole)
            inside += [part] if logged else []
    look = _seconds(trainer.training.measures.probe.measure)
    return Measured(tuple(seconds[False]), tuple(seconds[True]), tuple(inside), look)


def _seconds(act: Callable[[], object]) -> float:
    before = time.process_time()
    act()
    return time.process_time() - before


def line(case: Case, found: Measured) -> str:
    """One line of the table."""
    low, middle, high = numbers.quantiles(found.ratios, n=4)
    mark = "  over target" if case.judged and middle >= TARGET else ""
    return (
        f"{case.name:18} {case.batch:5} {1e3 * numbers.median(found.plain):9.1f} {middle:8.4f}  "
        f"{low:.4f} to {high:.4f}  {100 * found.added:6.2f} % {1e3 * found.probe:9.1f} "
        f"{100 * found.probe_share(case.steps):6.2f} % of {case.steps} steps{mark}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if a judged ratio is over the target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    data = datasets.make("planted", rows=4000)()
    sys.stdout.write(
        f"logging every {given.every} steps, {given.blocks} paired blocks, CPU, {given.threads} "
        f"thread(s), torch {torch.__version__}, {platform.machine()}\n"
        f"{'cell':18} {'batch':>5} {'step, ms':>9} {'ratio':>8}  {'quartiles':16}  "
        f"{'itself':>8} {'look, ms':>9} probe's share\n"
    )
    over = False
    for case in CASES:
        encoder = encoders.make(case.encoder, **dict(case.settings)).build(data.texts, 0)
        trainer = Trainer(encoder, data, case.batch, given.length, given.every)
        found = measure(trainer, given.blocks)
        sys.stdout.write(line(case, found) + "\n")
        sys.stdout.flush()
        over = over or (case.judged and numbers.median(found.ratios) >= TARGET)
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
