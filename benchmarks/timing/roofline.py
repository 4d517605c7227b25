"""How far a transformer's training step is from what the processor can do.

    python -m nsbench.benchmarks.timing.roofline [--threads 1] [--batch 64] [--out DIR]

Measured in one run: matrix products of the shapes of the model's layers, a copy in memory, and the
step itself. The share is the time that the step's products would take at the measured rate, over
the time of the step; products are counted at six floating-point operations per weight and token,
two forward and four backward, padding not counted.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from nsbench.benchmarks.encoders import encoders, token_table
from nsbench.benchmarks.matrix import load_data, make
from nsbench.benchmarks.timing._compare import PLACE, keep, place
from nsbench.benchmarks.timing._steps import CPU, MINILM, cell_of, our_steps

ROOFLINE = "roofline.csv"
COLUMNS = (
    *("precision", "threads", "batch", "tokens", "step_seconds", "products_gflops"),
    *("product_rate_gflops", "copy_gb_per_second", "share", *PLACE),
)
ROWS = 2048
TIMES = 7


def _best(act: Callable[[], object]) -> float:
    """Seconds of the fastest of a few runs, after one that warms up."""
    act()
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def product_rate(kind: torch.dtype, width: int, inner: int) -> float:
    """10^9 operations per second of a layer's products, ``(ROWS, width) @ (width, inner)``."""
    rows = torch.randn(ROWS, width).to(kind)
    weight = torch.randn(inner, width).to(kind)
    return 2 * ROWS * width * inner / _best(lambda: rows @ weight.T) / 1e9


def copy_rate() -> float:
    """10^9 bytes per second read and written by a copy of 256 MiB."""
    source = torch.zeros(64 << 20)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / _best(lambda: target.copy_(source)) / 1e9


def row_of(precision: str, batch: int, steps: int) -> dict[str, Any]:
    """One row of `COLUMNS`."""
    cell = cell_of({"name": MINILM}, "dropout", steps, batch_size=batch, precision=precision)
    data = load_data(cell.data)
    encoder: Any = make(encoders, cell.encoder).build(data.texts, 0)
    lengths = token_table(encoder, data.texts, cell.budget.max_length, CPU).lengths
    tokens = 2 * batch * float(lengths[data.anchor].mean())
    weights = sum(p.numel() for p in encoder.model.encoder.parameters() if p.dim() == 2)
    step = statistics.median(our_steps(cell, data).run()[0])
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    config = encoder.model.config
    rate = product_rate(kind, config.hidden_size, config.intermediate_size)
    needed = 6 * weights * tokens / 1e9
    found = {
        "tokens": f"{tokens:.0f}",
        "step_seconds": f"{step:.4g}",
        "products_gflops": f"{needed:.4g}",
        "product_rate_gflops": f"{rate:.4g}",
        "copy_gb_per_second": f"{copy_rate():.3g}",
        "share": f"{needed / rate / step:.3f}",
    }
    shared = {"precision": precision, "threads": torch.get_num_threads(), "batch": batch}
    return shared | found | place()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a line per precision."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16"])
    parser.add_argument("--out", type=Path, help=f"folder whose {ROOFLINE} keeps what was found")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    for precision in given.precisions:
        row = row_of(precision, given.batch, given.steps)
        sys.stdout.write(
            f"{precision}: step of {given.batch} pairs, {row['tokens']} tokens, "
            f"{row['step_seconds']} s; its products need {row['products_gflops']} GFLOP at "
            f"{row['product_rate_gflops']} GFLOP/s: {float(row['share']):.0%} of the step. "
            f"Copy {row['copy_gb_per_second']} GB/s.\n"
        )
        sys.stdout.flush()
        if given.out:
            keep(given.out / ROOFLINE, [row], COLUMNS, "precision")
    return 0


if __name__ == "__main__":
    sys.exit(main())
