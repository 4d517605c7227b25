"""Many synthetic records made from a few real ones, to time what reads a large results folder.

``python -m nsbench.benchmarks.synthetic REAL OUT --cells 100000`` writes a results folder laid out
as a large study would be: the methods of ``REAL`` (each sampler with each augmentation), every
augmentation at `VARIANTS` strengths, `SEEDS` seeds of each; when those are used up, another
encoder. From the 117 methods of the published matrix that makes 2,925 cells an encoder and 35
encoders in 100,000 cells. Scores are moved a little from cell to cell, files of difficulty are
links to the real ones. All of it is made up: nothing but speed and memory can be read from it,
and the folder's matrix is named ``synthetic``.
"""

import argparse
import copy
import csv
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from nsbench.benchmarks.records import CellPaths, ResultsFolder, content_key, read_json, record_text

SEEDS = 5
"""Seeds of each synthetic method."""
VARIANTS = 5
"""Strengths of each augmentation."""
LINKED = ("difficulty", "histograms", "probe")
"""Files of a real cell that its synthetic ones link to."""


@dataclass(frozen=True)
class Made:
    """One synthetic cell.

    Attributes:
        cell: As plain data, with labels.
        record: Content of ``record.json``.
        scores: Content of ``scores.csv``.
        real: Files of the cell it was made from.
    """

    cell: dict[str, Any]
    record: dict[str, Any]
    scores: str
    real: CellPaths


def cells(real: ResultsFolder, count: int) -> Iterator[Made]:
    """``count`` synthetic cells.

    Args:
        real: Results folder with at least one finished cell.
        count: Cells to make.

    Raises:
        ValueError: If no cell has finished there.
    """
    found = {
        content_key({k: v for k, v in record.cell.items() if k not in ("seed", "labels")}): paths
        for paths, record in real.records()[0]
        if record.status == "done"
    }
    templates = [(read_json(p.record), p.scores.read_text("utf-8"), p) for p in found.values()]
    if not templates:
        raise ValueError(f"{real.root} has no finished cell to make others from")
    for number in range(count):
        rest, seed = divmod(number, SEEDS)
        rest, place = divmod(rest, len(templates))
        encoder, variant = divmod(rest, VARIANTS)
        record, scores, paths = templates[place]
        cell = copy.deepcopy(record["cell"])
        cell["seed"] = seed
        cell["encoder"]["params"]["dimension"] = 1_000_000 + encoder
        cell["labels"]["encoder"] = f"synthetic {encoder}"
        if variant:
            for view in cell["augmentation"].values():
                for choice in view:
                    choice["params"]["variant"] = variant
            cell["labels"]["augmentation"] += f", variant {variant}"
        plain = {k: v for k, v in cell.items() if k != "labels"}
        record = record | {"cell": cell, "key": content_key(plain)}
        yield Made(cell, record, _moved(scores, number), paths)


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


def write(real: ResultsFolder, out: ResultsFolder, count: int) -> None:
    """Write a synthetic results folder; see `cells`."""
    out.runs.mkdir(parents=True)
    plan = []
    for made in cells(real, count):
        key = made.record["key"]
        paths = out.cell(made.cell["sampler"]["name"], key)
        paths.folder.mkdir()
        paths.cell.write_bytes(orjson.dumps(made.cell))
        paths.scores.write_text(made.scores)
        paths.record.write_text(record_text(made.record), "utf-8")
        for kind in LINKED:
            source = getattr(made.real, kind)
            if source.is_file():
                os.link(source, getattr(paths, kind))
        plan.append({"key": key, "folder": paths.folder.name, "cell": made.cell})
    out.write_matrix("synthetic", {}, plan)


def main(arguments: list[str] | None = None) -> int:
    """Write a synthetic results folder from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("real", type=Path, help="results folder with finished cells")
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--cells", type=int, default=100_000)
    given = parser.parse_args(arguments)
    write(ResultsFolder(given.real), ResultsFolder(given.out), given.cells)
    sys.stdout.write(f"{given.cells} synthetic cells in {given.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
