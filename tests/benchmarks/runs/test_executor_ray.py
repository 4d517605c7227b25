"""A real Ray cluster of two nodes: one is killed in the middle, and the matrix is what it was."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Build, jobs_of, until

from tools.faults import digests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without cores and two nodes with one each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.nodes = [made.add_node(num_cpus=1), made.add_node(num_cpus=1)]
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_a_node_killed_in_the_middle_costs_nothing_but_time(
    cluster: Any, small: Build, run_matrix: Callable[..., Any], tmp_path: Path
) -> None:
    from nsbench.benchmarks.runs.executors.ray import RayPool, RaySettings

    raw = small(samplers=["in_batch", "hard"], seeds=[1, 2, 3])
    raw["budget"]["steps"] = 200
    local, _ = run_matrix(raw, tmp_path / "local")
    jobs = jobs_of(raw, tmp_path / "far")
    run = RayPool(RaySettings(cpus=1)).run(jobs)
    ended = [next(run)]
    until(lambda: list((tmp_path / "far").rglob("claim.json")))
    cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    ended += run
    assert sorted(r.status for _, r in ended if r) == ["done"] * 6
    assert digests(tmp_path / "far") == digests(local.root)
    assert not list((tmp_path / "far").rglob("claim.json"))


@pytest.mark.filterwarnings("ignore")
def test_a_cell_that_fits_on_no_node_is_refused(cluster: Any, small: Build, tmp_path: Path) -> None:
    from nsbench.benchmarks.runs.executors.ray import RayPool, RaySettings

    with pytest.raises(ValueError, match="asks for 1 cores and 2 GPUs a cell, and no node"):
        next(RayPool(RaySettings(gpus=2)).run(jobs_of(small(), tmp_path)))
    assert list(tmp_path.iterdir()) == []
