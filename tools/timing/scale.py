"""Cost of planning, status and leaderboard per cell, from 100 to 100,000 recorded cells.

    python -m tools.timing.scale REAL [--out DIR] [--cells 100 1000 10000 100000]

``plan``: ``nsbench run --dry-run`` of a matrix all of which is recorded; ``start``: ``nsbench run``
of it, which finds nothing to do; ``status``: ``nsbench status --json``; ``refresh``: a second poll
of ``nsbench status --watch``; ``leaderboard``: ``nsbench leaderboard --tables board``. Each runs in
its own process, over folders that `tools.synthetic` makes of REAL's records (a
results folder, or what ``nsbench pack`` wrote). A folder of `SMALLEST` cells gives the fixed cost
of a command; the rest is divided by the cells, and fitted: an exponent of 0 is a constant cost of a
cell. Processor time is fitted, since other work on the machine disturbs it least; wall time is
stored, too.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.packing import is_packed, unpack
from tools.synthetic import study, write
from tools.timing._commands import NSBENCH, Spent, spent
from tools.timing._compare import PLACE, exponent, keep, place

SCALE = "scale.csv"
COLUMNS = (
    "what", "threads", "cells", "cpu_seconds", "wall_seconds", "peak_mib", "cell_ms", *PLACE
)  # fmt: skip
CELLS = (100, 1_000, 10_000, 100_000)
FEW = 1_000
"""Folders up to which start-up is most of the time, and so every round is measured."""
SMALLEST = 25
"""Cells of the folder that gives the fixed cost of a command."""
LOOK = """
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.status import StatusReader
path, times = pathlib.Path(sys.argv[1]), int(sys.argv[2])
reader = StatusReader(ResultsFolder(path))
for _ in range(times): reader.read()
"""


def refresh(folder: ResultsFolder) -> Spent:
    """Return the cost of one more poll of ``status --watch``: a tenth of eleven less one."""
    once, often = (spent(LOOK, str(folder.root), times) for times in ("1", "11"))
    wall = max(often.wall - once.wall, 0.0) / 10
    return Spent(max(often.cpu - once.cpu, 0.0) / 10, wall, often.peak)


def measure(folder: ResultsFolder, out: Path) -> dict[str, Spent]:
    """Return the cost of each command over a folder.

    Args:
        folder: As `tools.synthetic.write` makes it.
        out: Where the leaderboard goes.
    """
    root, matrix = str(folder.root), str(folder.root / "synthetic.toml")
    commands = {
        "plan": ["run", matrix, "--dry-run", "--out", root],
        "start": ["run", matrix, "--out", root],
        "status": ["status", root, "--json"],
        "leaderboard": ["leaderboard", root, "--tables", "board", "--out", str(out)],
    }
    found = {name: spent(NSBENCH, *given) for name, given in commands.items()}
    return found | {"refresh": refresh(folder)}


def middle(rounds: Sequence[dict[str, Spent]]) -> dict[str, Spent]:
    """Of several rounds, for each command the one with the median of processor time."""
    ranked = {n: sorted((r[n] for r in rounds), key=lambda s: s.cpu) for n in rounds[0]}
    return {name: found[len(found) // 2] for name, found in ranked.items()}


def rows(found: dict[int, dict[str, Spent]]) -> list[dict[str, Any]]:
    """One row per command and size, of `COLUMNS`; ``cell_ms`` is above the smallest folder's."""
    out = []
    for what in found[SMALLEST]:
        base = found[SMALLEST][what].cpu
        for cells, spent_ in sorted((c, f[what]) for c, f in found.items()):
            above = 1000 * (spent_.cpu - base) / (cells - SMALLEST) if cells > SMALLEST else ""
            out.append(
                {
                    "what": what,
                    "threads": 1,
                    "cells": cells,
                    "cpu_seconds": f"{spent_.cpu:.4g}",
                    "wall_seconds": f"{spent_.wall:.4g}",
                    "peak_mib": f"{spent_.peak:.0f}",
                    "cell_ms": f"{above:.4g}" if above != "" else "",
                }
                | place()
            )
    return out


def table(measured: Sequence[dict[str, Any]]) -> str:
    """The rows as text, and each command's exponent of the cost of a cell over the sizes."""
    lines = [f"{'':12} {'cells':>8} {'CPU s':>8} {'wall s':>8} {'MiB':>6} {'ms a cell':>10}"]
    for what in dict.fromkeys(row["what"] for row in measured):
        own = [row for row in measured if row["what"] == what]
        for row in own:
            numbers = (row[c] for c in ("cells", "cpu_seconds", "wall_seconds", "peak_mib"))
            line = "{:8} {:>8} {:>8} {:>6}".format(*numbers)
            lines.append(f"{what:12} {line} {row['cell_ms']:>10}")
        known = [r for r in own if r["cell_ms"] and float(r["cell_ms"]) > 0]
        if len(known) > 1:
            sizes, costs = ([float(r[c]) for r in known] for c in ("cells", "cell_ms"))
            lines.append(f"{what:12} exponent of the cost of a cell: {exponent(sizes, costs):.2f}")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("real", type=Path, help="real records, packed or not")
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS)
    parser.add_argument("--rounds", type=int, default=3, help=f"of folders of up to {FEW:,} cells")
    parser.add_argument("--out", type=Path, help=f"folder whose {SCALE} keeps what was found")
    parser.add_argument("--work", type=Path, help="where folders are made; a temporary one without")
    given = parser.parse_args(arguments)
    if min(given.cells) <= SMALLEST:
        parser.error(f"--cells must be above {SMALLEST}, got {min(given.cells)}")
    found: dict[int, dict[str, Spent]] = {}
    with tempfile.TemporaryDirectory(dir=given.work) as temporary:
        real = given.real
        if is_packed(real):
            real = Path(temporary, "real")
            unpack(given.real, real)
        for cells in (SMALLEST, *given.cells):
            folder = ResultsFolder(Path(temporary, str(cells), "out"))
            count = write(ResultsFolder(real), folder, study(cells))
            board = Path(temporary, str(cells), "board")
            times = given.rounds if count <= FEW else 1
            found[count] = middle([measure(folder, board) for _ in range(times)])
            sys.stdout.write(f"{count} cells: {found[count]}\n")
            sys.stdout.flush()
            if given.out:  # after each size, since the next one takes ten times as long
                keep(given.out / SCALE, rows(found), COLUMNS, "what")
        sys.stdout.write(table(rows(found)))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
