"""Growth of time and memory with the corpus, the batch, the methods and the cells, with exponents.

    python -m tools.timing.growth [SERIES ...] [--threads 1] [--out DIR]

``search``: the exact top 100 of a fixed number of queries in a corpus that is read as a stream, so
that what is measured is the search and not the corpus; ``step-static`` and ``step-minilm``: a
training step of growing batches; ``leaderboard-methods`` and ``report-methods``: the command over
five seeds of each of so many methods that are compared with one baseline; ``leaderboard-cells`` and
``report-cells``: over more and more cells. Every size runs in its own process, whose peak memory is
taken above what it held before; of a command, which runs over folders that `tools.synthetic`
makes, processor seconds and memory are above those of the smallest folder. An exponent of 1 is
linear; it is fitted to all sizes by least squares on logarithms.
"""

import argparse
import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.packing import is_packed, unpack
from nsbench.benchmarks.search.exact import MEMORY, top_k
from tools.synthetic import study, write
from tools.timing._apart import apart
from tools.timing._commands import NSBENCH, spent
from tools.timing._compare import PLACE, exponent, keep, place
from tools.timing._steps import MINILM, cell_of, our_steps
from tools.timing.memory import peak

GROWTH, TABLE = "growth.csv", "growth.md"
COLUMNS = ("what", "threads", "axis", "size", "seconds", "peak_mib", "file_mib", *PLACE)
REAL = Path("results/published-static/cells")
K, WIDTH, BLOCK = 100, 384, 4096


@dataclass(frozen=True)
class Series:
    """One thing that grows.

    Attributes:
        what: Its name.
        axis: What its sizes count.
        sizes: Sizes, ascending.
        smallest: Of a command, the size whose time and memory are taken off.
    """

    what: str
    axis: str
    sizes: tuple[int, ...]
    smallest: int = 0


SERIES = (
    Series("search", "corpus rows", (10_000, 32_000, 100_000, 320_000, 1_000_000)),
    Series("step-static", "batch", (64, 128, 256, 512, 1024)),
    Series("step-minilm", "batch", (16, 32, 64, 128)),
    Series("leaderboard-methods", "methods", (30, 100, 300, 1000), 3),
    Series("report-methods", "methods", (30, 100, 300), 3),
    Series("leaderboard-cells", "cells", (300, 1000, 3000, 10_000), 25),
    Series("report-cells", "cells", (300, 1000, 3000), 25),
)


@dataclass(frozen=True)
class Measured:
    """Cost of one size.

    Attributes:
        seconds: Time.
        peak: MiB of memory.
        file: MiB of the page that a command writes; 0 if it writes none.
    """

    seconds: float
    peak: float
    file: float = 0.0

    def above(self, other: "Measured") -> "Measured":
        """Return it without the time and memory of another."""
        return Measured(self.seconds - other.seconds, self.peak - other.peak, self.file)


def of_methods(methods: int) -> dict[str, Any]:
    """Return a study of so many methods of five seeds, one of them the baseline of all others."""
    others = [{"name": "semi_hard", "margin": round(i / methods, 6)} for i in range(1, methods)]
    return study(25) | {"samplers": ["in_batch", *others], "augmentations": ["none"]}


def stream(rows: int) -> Iterator[Tensor]:
    """Random unit vectors ``(c, WIDTH)``, never all in memory."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, rows, BLOCK):
        block = torch.randn(min(BLOCK, rows - start), WIDTH, generator=generator)
        yield functional.normalize(block, dim=-1)


def command(what: str, size: int, real: Path) -> Measured:
    """Return the cost of a command over a made folder.

    Args:
        what: Name of a series of a command.
        size: Its size.
        real: Results folder that others are made from.
    """
    name, _, axis = what.partition("-")
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = ResultsFolder(Path(temporary, "made")), Path(temporary, "out")
        write(ResultsFolder(real), folder, study(size) if axis == "cells" else of_methods(size))
        tables = ["--tables", "board"] if name == "leaderboard" else []
        done = spent(NSBENCH, name, str(folder.root), *tables, "--out", str(out))
        page = out / "report.html"
        return Measured(done.cpu, done.peak, page.stat().st_size / 2**20 if page.exists() else 0.0)


def measure(what: str, size: int, queries: int, steps: int) -> Measured:
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
        return Measured(time.perf_counter() - began - made, peak() - before)
    static = what == "step-static"
    spec = {"name": "static", "source": MINILM} if static else {"name": MINILM}
    cell = cell_of(spec, "none", steps, batch_size=size, precision="fp32")
    data = load_data(cell.data)
    before = peak()
    return Measured(statistics.median(our_steps(cell, data).run()[0]), peak() - before)


def _seconds_to_make(size: int) -> float:
    """Return the time of the stream itself, which is no part of the search."""
    began = time.perf_counter()
    for _ in stream(size):
        pass
    return time.perf_counter() - began


def exponents(rows: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Exponents of the columns of one series, where there are two sizes or more."""
    sizes = [float(row["size"]) for row in rows]
    least = {"seconds": 1e-9, "peak_mib": 1.0, "file_mib": 1e-9}
    known = [c for c in least if len(rows) > 1 and all(row.get(c) for row in rows)]
    return {c: exponent(sizes, [max(least[c], float(r[c])) for r in rows]) for c in known}


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Text of the rows for people, with the exponents of every series."""
    about = (__doc__ or "").split("\n\n")[2].replace("\n", " ").replace("``", "`").strip()
    lines = ["# Growth", "", about, ""]
    lines += ["| series | threads | size | seconds | peak MiB | page MiB |", "| --- " * 6 + "|"]
    series = dict.fromkeys((row["what"], row["threads"]) for row in rows)
    for what, threads in series:
        own = [row for row in rows if (row["what"], row["threads"]) == (what, threads)]
        for row in own:
            numbers = f"{row['seconds']} | {row['peak_mib']} | {row.get('file_mib') or ''}"
            lines.append(f"| {what} | {threads} | {row['size']} {row['axis']} | {numbers} |")
        if found := {c: f"{value:.2f}" for c, value in exponents(own).items()}:
            numbers = " | ".join(found.get(c, "") for c in ("seconds", "peak_mib", "file_mib"))
            lines.append(f"| **{what}** | {threads} | exponent | {numbers} |")
    last = rows[-1]
    return "\n".join([*lines, "", f"torch {last['torch']}, {last['platform']}.", ""])


def series_rows(series: Series, given: argparse.Namespace, real: Path) -> list[dict[str, Any]]:
    """Measure a series and print a line per size and the exponents; return rows of `COLUMNS`."""
    rows: list[dict[str, Any]] = []
    sizes = [s for s in series.sizes if not given.largest or s <= given.largest]
    if series.smallest:
        bare = command(series.what, series.smallest, real)
    for size in sizes:
        if series.smallest:
            found = command(series.what, size, real).above(bare)
        else:
            act = partial(measure, series.what, size, given.queries, given.steps)
            found = apart(given.threads, act)
        page = f" {found.file:8.2f} MiB page" if found.file else ""
        sys.stdout.write(
            f"{series.what:20} {size:9} {series.axis:12} {found.seconds:9.4f} s "
            f"{found.peak:8.0f} MiB{page}\n"
        )
        sys.stdout.flush()
        row = {
            "what": series.what,
            "threads": 1 if series.smallest else given.threads,
            "axis": series.axis,
            "size": size,
            "seconds": f"{found.seconds:.4g}",
            "peak_mib": f"{found.peak:.0f}",
            "file_mib": f"{found.file:.3g}" if found.file else "",
        }
        rows.append(row | place())
    fitted = ", ".join(f"{name} {value:.2f}" for name, value in exponents(rows).items())
    sys.stdout.write(f"{series.what:20} exponents: {fitted}\n" if fitted else "")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line per size and the exponents, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    names = [s.what for s in SERIES]
    parser.add_argument("series", nargs="*", metavar="SERIES", help=f"of {', '.join(names)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--queries", type=int, default=1000, help=f"of the search, up to {BLOCK}")
    parser.add_argument("--steps", type=int, default=12, help="of a training run")
    parser.add_argument("--largest", type=int, default=0, help="leave out sizes above; 0 for none")
    parser.add_argument("--real", type=Path, default=REAL, help="records, packed or not")
    parser.add_argument("--out", type=Path, help=f"folder of {GROWTH} and {TABLE}")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.series) - set(names))
    if unknown:
        parser.error(f"unknown series {unknown[0]!r}; there are {', '.join(names)}")
    if not 1 <= given.queries <= BLOCK:
        parser.error(f"--queries must be from 1 to {BLOCK}, got {given.queries}")
    wanted = [s for s in SERIES if not given.series or s.what in given.series]
    with tempfile.TemporaryDirectory() as temporary:
        real = given.real
        if any(s.smallest for s in wanted) and is_packed(real):
            real = Path(temporary, "real")
            unpack(given.real, real)
        for series in wanted:
            rows = series_rows(series, given, real)
            if given.out:
                keep(given.out / GROWTH, rows, COLUMNS, "what")
                with (given.out / GROWTH).open(newline="", encoding="utf-8") as file:
                    write_atomically(given.out / TABLE, table([*csv.DictReader(file)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
