"""Finished cells in experiment trackers: every number is one of the cell's files."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import Build, Run

from nsbench.benchmarks.records import read_record
from nsbench.benchmarks.runs.matrix_run import run
from nsbench.benchmarks.runs.reporting import TRACKERS, Reports, check_trackers, numbers_of


@pytest.fixture
def finished(small: Build, run_matrix: Run, tmp_path: Path) -> Any:
    raw = small(evaluation={"tasks": ["own"]}, samplers=["in_batch", "hard"])
    folder, records = run_matrix(raw, tmp_path / "out")
    assert {r.status for r in records} == {"done"}
    return raw, folder


def seen(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Numbers of a TensorBoard folder by name."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    read = event_accumulator.EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_gets_losses_difficulty_and_scores(finished: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    raw, folder = finished
    outcome = run(raw, tmp_path / "out", report_to=("tensorboard",))
    assert (outcome.before, outcome.left) == (2, 0)
    for paths in folder.folders():
        found = seen(tmp_path / "out" / "reports" / "tensorboard" / paths.folder.name)
        losses = pd.read_csv(paths.training)
        assert [s for s, _ in found["train/loss"]] == losses["step"].tolist()
        assert [v for _, v in found["train/loss"]] == pytest.approx(losses["loss"].tolist())
        hard = pd.read_parquet(paths.difficulty)
        hard = hard[hard["quantity"] == "margin"]
        assert len(hard) > 0
        assert found["difficulty/margin"] == [
            (int(s), pytest.approx(m)) for s, m in zip(hard["step"], hard["mean"], strict=True)
        ]
        scores = pd.read_csv(paths.scores)
        main = scores[scores["main"]]
        assert {n for n in found if n.startswith("score/")} == {
            f"score/{t}/{s}/{m}"
            for t, s, m in zip(main["task"], main["split"], main["metric"], strict=True)
        }


def test_a_cell_is_reported_once_and_again_when_its_result_is_another(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = finished
    opened: list[str] = []

    class Counts:
        def __init__(self, told: Any) -> None:
            opened.append(told.name)
            assert list(told.folder.iterdir()) == []
            assert told.config["sampler.name"] in ("in_batch", "hard")

        def log(self, step: int, numbers: Any) -> None:
            assert all(value == value for value in numbers.values())

        def close(self) -> None:
            pass

    monkeypatch.setitem(TRACKERS, "counts", Counts)
    paths = sorted(folder.folders(), key=lambda p: p.folder.name)
    for _ in range(2):
        reports = Reports(["counts"], tmp_path / "out", "small", pytest.fail)
        for place in paths:
            reports.add(place, read_record(place))
    assert sorted(opened) == [p.folder.name for p in paths]
    first = tmp_path / "out" / "reports" / "counts" / paths[0].folder.name / "weights.txt"
    first.write_text("others")
    reports.add(paths[0], read_record(paths[0]))
    assert opened.count(paths[0].folder.name) == 2


def test_a_tracker_that_fails_is_said_and_costs_no_cell(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(told: Any) -> Any:
        raise OSError("no route to the tracker")

    monkeypatch.setitem(TRACKERS, "broken", broken)
    _, folder = finished
    notes: list[str] = []
    reports = Reports(["broken"], tmp_path / "out", "small", notes.append)
    for paths in folder.folders():
        reports.add(paths, read_record(paths))
    assert len(notes) == 1
    assert "broken fails and gets no more cells: OSError: no route to the tracker" in notes[0]
    assert list((tmp_path / "out" / "reports" / "broken").iterdir()) == []


def test_unknown_and_missing_trackers_are_refused_before_anything_runs(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="Did you mean 'tensorboard'"):
        run(small(), tmp_path / "out", report_to=("tensorbord",))
    monkeypatch.setitem(TRACKERS, "no_such_package", TRACKERS["tensorboard"])
    with pytest.raises(ValueError, match="pip install no_such_package"):
        check_trackers(["no_such_package"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_other_trackers_get_the_same_numbers(
    name: str, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    pytest.importorskip(name)
    _, folder = finished
    paths = next(iter(folder.folders()))
    Reports([name], tmp_path / "out", "small", pytest.fail).add(paths, read_record(paths))
    assert (tmp_path / "out" / "reports" / name / paths.folder.name / "weights.txt").is_file()
    if name == "trackio":
        import sqlite3

        (base,) = (tmp_path / "trackio").glob("*.db")
        with sqlite3.connect(base) as rows:
            steps = [s for (s,) in rows.execute("select step from metrics order by step")]
        assert steps == [step for step, _ in numbers_of(paths)]
