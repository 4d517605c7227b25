"""Make a large study from real records: ``python -m tools.synthetic REAL OUT --cells 100000``.

It serves to time the commands that read large folders. It plans a matrix of that size and
records every cell of it: 25 samplers x 20 augmentations x 5 seeds, and as many encoders as needed.
Records and scores are those of real cells, of the same sampler where there is one, under the
planned cells' keys; scores are moved a little from cell to cell, and files of difficulty are links
to the real ones. All of it is made up: nothing but speed and memory can be read from it, and the
matrix is named ``synthetic``.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from nsbench.benchmarks.keys import canonical_json, pretty_json
from nsbench.benchmarks.records import CellPaths, ResultsFolder, read_json

_NUMBERS = [4, 8, 16, 32, 64]
SAMPLERS: list[dict[str, Any]] = [
    {"name": "in_batch"},
    *({"name": "random", "k": k} for k in _NUMBERS),
    *({"name": "hard", "k": k} for k in _NUMBERS),
    *({"name": "easiest", "k": k} for k in _NUMBERS),
    *({"name": "distance_weighted", "k": k} for k in _NUMBERS),
    *({"name": "semi_hard", "margin": m} for m in (0.05, 0.1, 0.2, 0.4)),
]
AUGMENTATIONS = [
    {"name": name, "rate": rate}
    for name in ("token_cutoff", "feature_cutoff", "word_repetition", "embedding_dropout")
    for rate in (0.05, 0.1, 0.15, 0.2, 0.25)
]
SEEDS = [1, 2, 3, 4, 5]
LINKED = ("difficulty", "histograms", "probe")
"""Files of a real cell that its synthetic ones link to."""


def study(cells: int) -> dict[str, Any]:
    """The matrix file of a study with so many cells, as plain data.

    Small ones have fewer samplers (from 5) and augmentations, large ones more encoders; the last
    augmentation or encoder may be more than was asked for.
    """
    one = len(SAMPLERS) * len(AUGMENTATIONS) * len(SEEDS)
    samplers = SAMPLERS[: max(5, min(len(SAMPLERS), cells // 100))]
    few = min(len(AUGMENTATIONS), -(-cells // (len(samplers) * len(SEEDS))))
    return {
        "schema": 1,
        "name": "synthetic",
        "samplers": samplers,
        "augmentations": [AUGMENTATIONS[i * len(AUGMENTATIONS) // few] for i in range(few)],
        "encoders": [{"name": "static", "dimension": 16 + i} for i in range(-(-cells // one))],
        "data": [{"name": "planted", "rows": 200}],
        "seeds": SEEDS,
        "no_training": False,
    }


@dataclass(frozen=True)
class Real:
    """A finished cell that others are made from.

    Attributes:
        paths: Its files.
        record: Its record as plain data.
        scores: Content of its ``scores.csv``.
    """

    paths: CellPaths
    record: dict[str, Any]
    scores: str


def templates(real: ResultsFolder) -> dict[str, list[Real]]:
    """The finished cells of a folder by sampler's name; those of all samplers under no name.

    Raises:
        ValueError: If no cell has finished there.
    """
    found: dict[str, list[Real]] = {"": []}
    for paths, record in real.records()[0]:
        if record.status == "done" and record.cell["sampler"]["name"] != "no_training":
            one = Real(paths, read_json(paths.record), paths.scores.read_text("utf-8"))
            found.setdefault(record.cell["sampler"]["name"], []).append(one)
            found[""].append(one)
    if not found[""]:
        raise ValueError(f"{real.root} has no finished cell to make others from")
    return found


def write(real: ResultsFolder, out: ResultsFolder, matrix: dict[str, Any]) -> int:
    """Write the folder of a matrix as if all of it had run, and the matrix file.

    Args:
        real: Results folder with at least one finished cell.
        out: A folder that does not exist yet; ``synthetic.toml`` in it is the matrix file.
        matrix: As plain data.

    Returns:
        How many cells it has.
    """
    from nsbench.benchmarks.matrix.config import parse_config
    from nsbench.benchmarks.matrix.expand import expand
    from nsbench.benchmarks.runs.executors.base import plan_jobs

    known = templates(real)
    jobs = plan_jobs(expand(parse_config(matrix)), out, "cpu", 1)
    out.runs.mkdir(parents=True)
    (out.root / "synthetic.toml").write_text(tomli_w.dumps(matrix), "utf-8")
    plan = []
    for number, job in enumerate(jobs):
        cell = job.planned.cell
        plain = cell.plain() | {"labels": cell.labels}
        alike = known.get(cell.sampler.name, known[""])
        _record(alike[number % len(alike)], job.paths, plain, cell.key, number)
        plan.append({"key": cell.key, "folder": job.paths.folder.name, "cell": plain})
    out.write_matrix("synthetic", {}, plan)
    return len(jobs)


def _record(real: Real, paths: CellPaths, cell: dict[str, Any], key: str, number: int) -> None:
    paths.folder.mkdir()
    paths.cell.write_text(canonical_json(cell))
    paths.scores.write_text(_moved(real.scores, number))
    record = {k: v for k, v in real.record.items() if k not in ("files", "digest")}
    paths.record.write_text(pretty_json(record | {"cell": cell, "key": key}), "utf-8")
    for kind in LINKED:
        if (source := getattr(real.paths, kind)).is_file():
            os.link(source, getattr(paths, kind))


def _moved(scores: str, number: int) -> str:
    """The scores, each moved by up to 0.01, so that no two cells are equal."""
    rows = list(csv.reader(io.StringIO(scores)))
    place = rows[0].index("value")
    for i, row in enumerate(rows[1:]):
        step = (number * 7919 + i * 104729) % 2003 / 2003 - 0.5
        row[place] = repr(float(row[place]) + 0.02 * step)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a synthetic results folder from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("real", type=Path, help="results folder with finished cells")
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--cells", type=int, default=100_000)
    given = parser.parse_args(arguments)
    count = write(ResultsFolder(given.real), ResultsFolder(given.out), study(given.cells))
    sys.stdout.write(f"{count} synthetic cells in {given.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
