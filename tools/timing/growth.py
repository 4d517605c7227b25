"""Growth of time and memory with the corpus and with the batch, with fitted exponents.

    python -m tools.timing.growth [--threads 1] [--out DIR]

``search``: the exact top 100 of a fixed number of queries in a corpus that is read as a stream, so
that what is measured is the search and not the corpus; ``step-static`` and ``step-minilm``: a
training step of growing batches. Every size runs in its own process, whose peak memory is taken
above what it held before. An exponent of 1 is linear; it is fitted to all sizes by least
squares on logarithms.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.search.exact import MEMORY, top_k
from tools.timing._apart import apart
from tools.timing._compare import PLACE, keep, place
from tools.timing._steps import MINILM, cell_of, our_steps
from tools.timing.memory import peak

GROWTH = "growth.csv"
COLUMNS = ("what", "threads", "axis", "size", "seconds", "peak_mib", *PLACE)
K, WIDTH, BLOCK = 100, 384, 4096


@dataclass(frozen=True)
class Series:
    """One thing that grows.

    Attributes:
        what: Its name.
        axis: What its sizes count.
        sizes: Sizes, ascending.
    """

    what: str
    axis: str
    sizes: tuple[int, ...]


SERIES = (
    Series("search", "corpus rows", (10_000, 32_000, 100_000, 320_000, 1_000_000)),
    Series("step-static", "batch", (64, 128, 256, 512, 1024)),
    Series("step-minilm", "batch", (16, 32, 64, 128)),
)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the least-squares line through the logarithms."""
    x = [math.log(s) for s in sizes]
    y = [math.log(v) for v in values]
    return statistics.linear_regression(x, y).slope


def stream(rows: int) -> Iterator[Tensor]:
    """Random unit vectors ``(c, WIDTH)``, never all in memory."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, rows, BLOCK):
        block = torch.randn(min(BLOCK, rows - start), WIDTH, generator=generator)
        yield functional.normalize(block, dim=-1)


def measure(what: str, size: int, queries: int, steps: int) -> tuple[float, float]:
    """Seconds, and MiB of memory above what was held before.

    Args:
        what: Name of a series.
        size: Its size.
        queries: Of the search.
        steps: Of a training run, of which the median step counts.
    """
    if what == "search":
        wanted = next(stream(max(queries, 1)))[:queries]
        top_k(wanted, stream(BLOCK), K)  # libraries are loaded, their memory held
        made = _seconds_to_make(size)
        before = peak()
        began = time.perf_counter()
        top_k(wanted, stream(size), K, memory=MEMORY)
        return time.perf_counter() - began - made, peak() - before
    static = what == "step-static"
    spec = {"name": "static", "source": MINILM} if static else {"name": MINILM}
    cell = cell_of(spec, "none", steps, batch_size=size, precision="fp32")
    data = load_data(cell.data)
    before = peak()
    return statistics.median(our_steps(cell, data).run()[0]), peak() - before


def _seconds_to_make(size: int) -> float:
    """Return the time of the stream itself, which is no part of the search."""
    began = time.perf_counter()
    for _ in stream(size):
        pass
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line per size and the exponents."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    names = [s.what for s in SERIES]
    parser.add_argument("series", nargs="*", metavar="SERIES", help=f"of {', '.join(names)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--queries", type=int, default=1000, help=f"of the search, up to {BLOCK}")
    parser.add_argument("--steps", type=int, default=12, help="of a training run")
    parser.add_argument("--largest", type=int, default=0, help="leave out sizes above; 0 for none")
    parser.add_argument("--out", type=Path, help=f"folder whose {GROWTH} keeps what was found")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.series) - set(names))
    if unknown:
        parser.error(f"unknown series {unknown[0]!r}; there are {', '.join(names)}")
    if not 1 <= given.queries <= BLOCK:
        parser.error(f"--queries must be from 1 to {BLOCK}, got {given.queries}")
    for series in SERIES:
        if given.series and series.what not in given.series:
            continue
        sizes = [s for s in series.sizes if not given.largest or s <= given.largest]
        rows = []
        for size in sizes:
            seconds, held = apart(
                given.threads, partial(measure, series.what, size, given.queries, given.steps)
            )
            sys.stdout.write(
                f"{series.what:12} {size:9} {series.axis:12} {seconds:9.4f} s {held:8.0f} MiB\n"
            )
            sys.stdout.flush()
            row = {"what": series.what, "threads": given.threads, "axis": series.axis}
            found = {"size": size, "seconds": f"{seconds:.4g}", "peak_mib": f"{held:.0f}"}
            rows.append(row | found | place())
        if len(rows) > 1:
            times = exponent(sizes, [float(r["seconds"]) for r in rows])
            peaks = exponent(sizes, [max(1.0, float(r["peak_mib"])) for r in rows])
            sys.stdout.write(f"{series.what:12} exponents: time {times:.2f}, memory {peaks:.2f}\n")
        if given.out:
            keep(given.out / GROWTH, rows, COLUMNS, "what")
    return 0


if __name__ == "__main__":
    sys.exit(main())
