"""Shared by all tests: no network, no progress bars, one thread, small matrices."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["NSBENCH_CACHE"] = "none"

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when kernels are made

settings.register_profile(  # neither a clock nor chance decides about a test
    "nsbench",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("nsbench")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The order of sums is part of a result; and two test workers share two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def need_tasks() -> Callable[..., None]:
    """Skips unless the data of named tasks are in the cache and the hub is switched off."""

    def need(*names: str) -> None:
        import datasets

        from nsbench.benchmarks.evaluation.mteb.tasks import missing_data, resolve

        if not datasets.config.HF_HUB_OFFLINE:
            pytest.skip("needs HF_HUB_OFFLINE=1 and an HF_HOME that holds the data")
        for missing in missing_data(resolve(names)):
            pytest.skip(str(missing))

    return need


@pytest.fixture
def small() -> Callable[..., dict[str, Any]]:
    """A matrix as plain data that runs in about a second a cell, with changes on top."""

    from running import small_matrix

    return small_matrix


@pytest.fixture
def run_matrix(tmp_path: Path) -> Callable[..., Any]:
    """Runs a matrix given as plain data in this process; gives its folder and the records."""

    def run(raw: dict[str, Any], out: Path | None = None, workers: int = 1) -> Any:
        from running import run_jobs

        from nsbench.benchmarks.matrix.config import parse_config
        from nsbench.benchmarks.matrix.expand import expand
        from nsbench.benchmarks.records import ResultsFolder
        from nsbench.benchmarks.runs.executors.base import finished, plan_jobs

        folder = ResultsFolder(out or tmp_path / "out")
        jobs = plan_jobs(expand(parse_config(raw)), folder, "cpu", 1)
        todo = [j for j in jobs if finished(j.paths) is None]
        records = [record for _, record in run_jobs(todo, workers)]
        return folder, records

    return run
