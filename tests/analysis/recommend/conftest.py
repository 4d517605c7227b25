"""Pairs in a CSV, and nothing else."""

from pathlib import Path

import pytest
from made_data import write_pairs

from nsbench.benchmarks.data import datasets


@pytest.fixture(scope="package")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = datasets.make("planted", rows=420, seed=5)()
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.csv", data)
