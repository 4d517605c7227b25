"""Short cells tell the cost: the first one, which loads everything, only where it is slow."""

from pathlib import Path

import pytest
from running import Build, jobs_of

from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.runs import timed
from nsbench.benchmarks.runs.executors.base import Request


@pytest.mark.parametrize(("slow", "steps"), [(3600.0, 40), (0.0, 8)])
def test_the_second_cell_of_a_process_tells_the_cost_unless_the_first_is_slow(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: float, steps: int
) -> None:
    monkeypatch.setattr(timed, "SLOW", slow)
    folder = ResultsFolder(tmp_path / "own")
    job = jobs_of(small(budget={"steps": 100, "batch_size": 8}, no_training=False), folder.root)[0]
    (measured,), (said,) = timed.short_cells([job, job], Request(folder, device="cpu"))
    assert measured.cell["budget"]["steps"] == steps
    assert measured.cell["encoder"] == job.planned.cell.plain()["encoder"]
    assert measured.step > 0
    assert measured.fixed > 0
    assert f"timed here: {steps} steps of static" in said
    assert not folder.runs.exists()
