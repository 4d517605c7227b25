"""Many synthetic records made from a few real ones, to time what reads a large results folder.

``python -m nsbench.benchmarks.synthetic REAL OUT --cells 100000`` writes a results folder whose
cells are those of ``REAL`` under other seeds and other encoders' names, with scores moved a little.
They are made up: nothing but speed and memory can be read from them, and the folder's matrix is
named ``synthetic``.
"""

import argparse
import copy
import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nsbench.benchmarks.records import ResultsFolder, content_key, read_json, slug

SEEDS = 10
"""Seeds of each synthetic method."""


def cells(real: ResultsFolder, count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """``count`` synthetic cells: plain data, record and scores.

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
    templates = [(read_json(p.record), p.scores.read_text("utf-8")) for p in found.values()]
    if not templates:
        raise ValueError(f"{real.root} has no finished cell to make others from")
    for number in range(count):
        round_, place = divmod(number, len(templates))
        group, seed = divmod(round_, SEEDS)
        record, scores = templates[place]
        cell = copy.deepcopy(record["cell"])
        cell["seed"] = seed
        cell["encoder"]["params"]["dimension"] = 1_000_000 + group
        cell["labels"]["encoder"] = f"synthetic {group}"
        plain = {k: v for k, v in cell.items() if k != "labels"}
        yield cell, record | {"cell": cell, "key": content_key(plain)}, _moved(scores, number)


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
    for cell, record, scores in cells(real, count):
        name = f"{slug(cell['sampler']['name'])}-{record['key']}"
        folder = out.runs / name
        folder.mkdir()
        (folder / "cell.json").write_text(json.dumps(cell))
        (folder / "scores.csv").write_text(scores)
        (folder / "record.json").write_text(json.dumps(record, indent=1, sort_keys=True))
        plan.append({"key": record["key"], "folder": name, "cell": cell})
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
