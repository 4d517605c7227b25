"""Pairs in a CSV, and nothing else."""

from pathlib import Path

import pytest

from nsbench.benchmarks.data import datasets


@pytest.fixture(scope="package")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = datasets.make("planted", rows=420, seed=5)()
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    rows = [
        f'"{data.texts[a]}","{data.texts[p]}"\n'
        for a, p in zip(data.anchor, data.positive, strict=True)
    ]
    path.write_text("anchor,positive\n" + "".join(rows))
    return path
