"""Memory of a training step on long documents with gradient caching, and its gradient without.

    python -m tools.timing.chunks [--batch 64] [--length 512] [--chunk 8] [--out DIR]

A step of MiniLM-L6 on SciFact's claims and abstracts, in its own process; the peak is that of the
whole process, libraries and data included. Then the gradient of a smaller batch of the same data is
made twice, in chunks and at once; what differs is told relative to the largest entry. SciFact
must be in the hub's cache.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.matrix.config import load_config, parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records.cell import Cell, make
from nsbench.benchmarks.training.regime import train_cell
from tools.timing._apart import apart
from tools.timing._compare import PLACE, keep, place
from tools.timing._steps import CPU, MINILM
from tools.timing.memory import peak

CHUNKS = "chunks.csv"
COLUMNS = (
    *("what", "threads", "batch", "length", "chunk", "seconds", "peak_mib"),
    *("same_batch", "gradient_difference", *PLACE),
)
SCIFACT = load_config("scifact-negatives").data[0]


def long_cell(batch: int, length: int, chunk: int, data: Any = None) -> Cell:
    """One step on claims with their abstracts, nothing clipped.

    Args:
        batch: Rows.
        length: Longest text in tokens.
        chunk: Texts per pass; 0 for all at once.
        data: A data set instead of SciFact.
    """
    config = {
        "schema": 1,
        "name": "chunks",
        "samplers": ["in_batch"],
        "encoders": [{"name": "transformer", "source": MINILM, "max_length": length}],
        "data": [data or SCIFACT],
        "seeds": [1],
        "no_training": False,
        "budget": {
            "steps": 1,
            "batch_size": batch,
            "max_length": length,
            "chunk": chunk,
            "clip": 0.0,
            "precision": "fp32",
        },
    }
    return expand(parse_config(config))[0].cell


def gradients(cell: Cell) -> dict[str, Tensor]:
    """Gradient of every weight in the step of a cell, as its optimizer gets it."""
    data = load_data(cell.data)
    encoder: Encoder = make(encoders, cell.encoder).build(data.texts, 0)
    found: dict[str, Tensor] = {}

    def see(*_: Any) -> None:
        for name, weight in encoder.named_parameters():
            if weight.grad is not None:
                found[name] = weight.grad.clone()

    hook = register_optimizer_step_pre_hook(see)
    try:
        train_cell(cell, data, encoder, CPU)
    finally:
        hook.remove()
    return found


def difference(batch: int, length: int, chunk: int, data: Any = None) -> float:
    """Largest difference of a gradient made in chunks from the one made at once.

    Relative to the largest entry of the latter, over all weights.
    """
    at_once = gradients(long_cell(batch, length, 0, data))
    chunked = gradients(long_cell(batch, length, chunk, data))
    largest = max(float(g.abs().max()) for g in at_once.values())
    return max(float((chunked[n] - g).abs().max()) for n, g in at_once.items()) / largest


def measure(batch: int, length: int, chunk: int, data: Any = None) -> tuple[float, float]:
    """Seconds of a step, and MiB that the process has held at most."""
    cell = long_cell(batch, length, chunk, data)
    rows = load_data(cell.data)
    encoder: Encoder = make(encoders, cell.encoder).build(rows.texts, 0)
    began = time.perf_counter()
    train_cell(cell, rows, encoder, CPU)
    return time.perf_counter() - began, peak()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print two lines."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--length", type=int, default=512, help="longest text in tokens")
    parser.add_argument("--chunk", type=int, default=8, help="texts per pass; 0 for all at once")
    parser.add_argument("--same", type=int, default=16, help="batch whose gradients are compared")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help=f"folder whose {CHUNKS} keeps what was found")
    given = parser.parse_args(arguments)
    if min(given.batch, given.same, given.length) < 2 or given.chunk < 0 or given.threads < 1:
        parser.error("--batch, --same and --length must be at least 2, --threads 1, --chunk 0")
    size = (given.batch, given.length, given.chunk)
    seconds, held = apart(given.threads, partial(measure, *size))
    sys.stdout.write(
        f"batch {given.batch}, {given.length} tokens, chunk {given.chunk}: {seconds:.1f} s, "
        f"peak of the process {held / 1024:.2f} GiB\n"
    )
    row = {"what": f"chunk {given.chunk}", "threads": given.threads}
    row |= dict(zip(("batch", "length", "chunk"), size, strict=True))
    row |= {"seconds": f"{seconds:.4g}", "peak_mib": f"{held:.0f}"}
    if given.chunk:
        apart_by = apart(given.threads, partial(difference, given.same, given.length, given.chunk))
        sys.stdout.write(
            f"batch {given.same}: gradients in chunks and at once differ by {apart_by:.1e} of the "
            "largest entry\n"
        )
        row |= {"same_batch": given.same, "gradient_difference": f"{apart_by:.2e}"}
    if given.out:
        keep(given.out / CHUNKS, [row | place()], COLUMNS, "what")
    return 0


if __name__ == "__main__":
    sys.exit(main())
