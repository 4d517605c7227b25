"""A whole matrix by ``nsbench run``, compared with the same cells by other libraries.

    python -m tools.timing.matrix [--steps 100] [--theirs 3] [--workers 2] [--rounds 1] [--out DIR]

Ours: 48 cells of a static encoder on ``sts_unlabelled`` (four samplers, four augmentations, three
seeds), scored on seven STS tasks, started from the command line with nothing cached in memory:
wall time, start of the processes and every file included. Theirs: the same budget by
sentence-transformers' trainer and ``mteb.evaluate``, one cell after the other in one warm process
that has all cores; a few are timed and the rest is estimated from their median. Also printed is
the suite's own cost: what was neither training nor evaluation of the workers' time, the start and
end of the processes included, and of the wall time of the cells, from folder to record; of several
rounds, the median.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomli_w
import torch

from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.evaluation.evaluate import check_tasks
from nsbench.benchmarks.records import ResultsFolder
from tools import plain_mteb as plain
from tools.timing._compare import HEAD, PEERS, Compared, tell
from tools.timing._steps import MINILM, cell_of, their_static, their_training

SAMPLERS = ("in_batch", "random", "hard", "median_triplet")
AUGMENTATIONS = ("none", "token_cutoff", "feature_cutoff", "word_repetition")
"""Those of the published matrix."""
SEEDS = (1, 2, 3)
CELLS = len(SAMPLERS) * len(AUGMENTATIONS) * len(SEEDS)
TARGET = 0.05
COMMAND = "from nsbench.benchmarks.cli.main import main; main()"


def matrix(steps: int, batch: int) -> dict[str, Any]:
    """Return the matrix as plain data."""
    return {
        "schema": 1,
        "name": "timing",
        "samplers": list(SAMPLERS),
        "augmentations": list(AUGMENTATIONS),
        "encoders": [{"name": "static", "source": MINILM}],
        "data": ["sts_unlabelled"],
        "seeds": list(SEEDS),
        "no_training": False,
        "budget": {"steps": steps, "batch_size": batch, "learning_rate": 1e-3, "max_length": 64},
        "evaluation": {"tasks": ["STS7"]},
    }


def ours(steps: int, batch: int, workers: int) -> tuple[float, float, float]:
    """Return wall seconds of the matrix; the suite's share of its workers' time, and of its cells'.

    Raises:
        RuntimeError: If a cell did not finish.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, out = Path(folder, "timing.toml"), Path(folder, "out")
        asked.write_text(tomli_w.dumps(matrix(steps, batch)), "utf-8")
        began = time.perf_counter()
        arguments = ["run", str(asked), "--out", str(out), "--workers", str(workers)]
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - began
        records = [record for _, record in ResultsFolder(out).records()[0]]
    if done.returncode or [r.status for r in records] != ["done"] * CELLS:
        raise RuntimeError(f"the matrix did not finish: {done.stdout[-500:]}{done.stderr[-2000:]}")
    work = sum(r.seconds["train"] + r.seconds["evaluate"] for r in records)
    cells = sum(r.seconds["total"] for r in records)
    return wall, 1 - work / (wall * workers), 1 - work / cells


def theirs(steps: int, batch: int, cells: int) -> list[float]:
    """Return seconds of cells trained and scored by the other libraries, after a warm-up cell."""
    spec = {"name": "static", "source": MINILM}
    cell = cell_of(spec, "none", steps, batch_size=batch, learning_rate=1e-3, precision="fp32")
    texts, names = load_data(cell.data).texts, check_tasks(["STS7"])
    stamps = [time.perf_counter()]
    for _ in range(cells + 1):
        model = their_static()
        their_training(model, texts, cell)
        plain.plain_scores(model, plain.plain_tasks(names))
        stamps.append(time.perf_counter())
    return [after - before for before, after in pairwise(stamps)][1:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if the suite's own cost is over its target."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=100, help="of every cell")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--theirs", type=int, default=3, help="cells of theirs that are timed")
    parser.add_argument("--workers", type=int, default=2, help="our processes, their threads")
    parser.add_argument("--rounds", type=int, default=1, help="how often each side runs, in turn")
    parser.add_argument("--out", type=Path, help=f"folder whose {PEERS} keeps what was found")
    given = parser.parse_args(arguments)
    for name in ("steps", "batch", "theirs", "workers", "rounds"):
        if getattr(given, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(given, name)}")
    torch.set_num_threads(given.workers)
    rounds = []
    for _ in range(given.rounds):
        found = ours(given.steps, given.batch, given.workers)
        rounds.append((*found, statistics.median(theirs(given.steps, given.batch, given.theirs))))
    walls, owns, withins, cells = zip(*rounds, strict=True)
    own, within = statistics.median(owns), statistics.median(withins)
    compared = Compared(
        "matrix",
        f"{CELLS} static cells of {given.steps} steps of {given.batch}, seven STS tasks",
        walls,
        tuple(each * CELLS for each in cells),
        f"sentence-transformers {version('sentence-transformers')} and mteb {version('mteb')}, "
        f"reckoned from {given.theirs} cells a round",
        f"Own cost {100 * own:.1f} % of the workers' time, {100 * within:.1f} % of the cells'.",
    )
    sys.stdout.write(HEAD)
    tell(compared, given.out)
    rates = 3600 * CELLS / statistics.median(walls), 3600 / statistics.median(cells)
    sys.stdout.write(f"cells per hour: {rates[0]:.0f} against {rates[1]:.0f}\n")
    return int(own > TARGET)


if __name__ == "__main__":
    sys.exit(main())
