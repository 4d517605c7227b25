"""A cell that was killed in the middle and gone on with leaves the bytes of an unbroken one."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
import torch
from made_data import put
from made_training import method, opened
from running import Build, planned_of, until

from nsbench.benchmarks.candidates import OpenPool
from nsbench.benchmarks.contrast.distributed import ApartError
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records import CellPaths, ResultsFolder, read_record
from nsbench.benchmarks.runs import cell_run
from nsbench.benchmarks.runs.cell_run import Place, environment, run_cell
from nsbench.benchmarks.runs.executors.base import Job, plan_jobs, run_job
from nsbench.benchmarks.runs.garbage import find_waste
from nsbench.benchmarks.training.measures import DivergedError
from nsbench.benchmarks.training.snapshots import Snapshots, frame_of, frame_state
from nsbench.benchmarks.training.train import Training

OFTEN = 1e-6
HERE = Place("cpu", snapshot_seconds=OFTEN)
FILES = (
    "scores.csv",
    "training.csv",
    "difficulty.parquet",
    "histograms.parquet",
    "probe.parquet",
    "choices.parquet",
    "texts.parquet",
)
TINY = {"encoders": [{"name": "tiny", "dimension": 16}]}
MINED = {"name": "corpus", "shortage": "pad_random", "refresh": 4, "lag": 1, "depth": 5}
CASES: dict[str, dict[str, Any]] = {
    "queue": {"samplers": ["hard"], "candidates": [{"name": "queue", "size": 40}]} | TINY,
    "warm memory": {
        "samplers": ["random"],
        "candidates": [{"name": "memory", "size": 40, "start": "warm", "warmup_steps": 2}],
    },
    "mined": {"samplers": ["semi_hard"], "candidates": [MINED | {"negatives": 2, "margin": 0.5}]},
    "mined by the first encoder": {
        "samplers": ["in_batch"],
        "candidates": [{"name": "corpus", "shortage": "fewer", "source": "guide"}],
    },
    "clusters": {"samplers": [{"name": "incremental", "refreshes": 2, "start": 0.9}]},
    "topics": {"samplers": [{"name": "topic", "texts_per_cluster": 20}]},
    "guide": {"samplers": ["guided"]} | TINY,
    "curriculum": {"samplers": ["curriculum"]},
    "dropout, chunks, best on dev": {
        "augmentations": [["dropout", "feature_cutoff"]],
        "evaluation": {"tasks": ["own"], "dev": "own", "dev_every": 5},
    }
    | TINY,
}


def job_of(raw: dict[str, Any], root: Path) -> Job:
    """The one cell of a matrix."""
    (planned,) = planned_of(raw)
    (job,) = plan_jobs([planned], ResultsFolder(root), "cpu", 1, snapshot_seconds=OFTEN)
    return job


def contents(paths: CellPaths) -> dict[str, bytes]:
    return {name: (paths.folder / name).read_bytes() for name in FILES}


def killed(job: Job, after: int) -> None:
    """Run a cell until it is interrupted after some steps."""

    def stop(step: int) -> None:
        if step == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cell(job.planned.cell, job.paths, HERE, on_step=stop)


def assert_goes_on_as_if_unbroken(raw: dict[str, Any], root: Path, breaks: tuple[int, ...]) -> None:
    unbroken = run_job(replace(job_of(raw, root / "unbroken"), snapshot_seconds=0.0))
    assert unbroken.status == "done", unbroken.traceback
    job = job_of(raw, root / "broken")
    for after in breaks:
        killed(job, after)
        assert job.paths.snapshot.exists()
    record = run_job(job)
    assert record.status == "done", record.traceback
    assert record.environment["resumed_after_step"] == breaks[-1]
    assert contents(job.paths) == contents(job_of(raw, root / "unbroken").paths)
    assert (record.cost, record.weights) == (unbroken.cost, unbroken.weights)
    assert not job.paths.snapshot.exists()


@pytest.mark.parametrize("case", CASES)
def test_law_a_resumed_cell_leaves_the_bytes_of_an_unbroken_one(
    case: str, small: Build, tmp_path: Path
) -> None:
    raw = small(augmentations=["token_cutoff"]) | CASES[case]
    raw["budget"] |= {"steps": 14, "chunk": 5 if "chunks" in case else 0}
    assert_goes_on_as_if_unbroken(raw, tmp_path, (3, 9))


@pytest.mark.parametrize("regime", ["joint", "sup_unsup"])
def test_law_a_cell_of_two_phases_is_resumed_in_either(
    regime: str, small: Build, tmp_path: Path
) -> None:
    words = ("boat", "dog", "house", "cake", "river", "child")
    names = ("entailment", "neutral", "contradiction")
    rows = [
        {"premise": f"a {a} and {b}", "hypothesis": f"{b} of {a}", "label": names[(i + j) % 3]}
        for i, a in enumerate(words)
        for j, b in enumerate(words)
    ]
    path = put(tmp_path / "pairs.jsonl", rows)
    pairs = {"name": "file", "path": str(path), "nli": "pairs"}
    raw = small(regimes=[{"name": regime, "nli": pairs}], augmentations=["dropout"]) | TINY
    raw["samplers"] = ["guided"] if regime == "sup_unsup" else ["in_batch"]
    raw["budget"] |= {"steps": 6, "batch_size": 8}
    assert_goes_on_as_if_unbroken(raw, tmp_path, (2, 9) if regime == "sup_unsup" else (2, 4))


def test_a_cell_killed_while_it_is_scored_is_not_trained_again(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsbench.benchmarks.runs import cell_run as run

    raw = small(evaluation={"tasks": ["own"], "dev": "own", "dev_every": 2})
    unbroken = run_job(replace(job_of(raw, tmp_path / "unbroken"), snapshot_seconds=0.0))
    job = job_of(raw, tmp_path / "broken")

    with monkeypatch.context() as patch:
        patch.setattr(run, "score", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_job(job)
    steps: list[int] = []
    record = run_cell(job.planned.cell, job.paths, Place("cpu"), on_step=steps.append)
    assert steps == []
    assert (record.cost, record.weights) == (unbroken.cost, unbroken.weights)
    assert contents(job.paths) == contents(job_of(raw, tmp_path / "unbroken").paths)


def test_law_killed_for_good_and_resumed(small: Build, tmp_path: Path) -> None:
    raw = small(samplers=["hard"], candidates=[{"name": "queue", "size": 40}])
    raw["budget"]["steps"] = 400
    raw["run"] = {"device": "cpu"}
    config = tmp_path / "m.toml"
    config.write_text(_toml(raw))
    command = [sys.executable, "-m", "nsbench.analysis.cli.main", "run", str(config)]
    command += ["--workers", "1", "--checkpoint-every", "0.002"]
    broken = tmp_path / "broken"
    process = subprocess.Popen([*command, "--out", str(broken)], stderr=subprocess.DEVNULL)
    stored = (broken / "runs").glob
    held = until(lambda: list(stored("*/checkpoint.safetensors")), lambda: process.poll() is None)
    owner = json.loads((held[0].parent / "claim.json").read_bytes())
    for number in (owner["pid"], process.pid):  # the worker, and the parent that would see it
        os.kill(number, signal.SIGKILL)
    process.wait()
    assert not list((broken / "runs").glob("*/record.json"))
    subprocess.run([*command, "--out", str(broken)], check=True, capture_output=True)
    unbroken = replace(job_of(raw, tmp_path / "unbroken"), snapshot_seconds=0.0)
    run_job(unbroken)
    (one,) = ResultsFolder(broken).folders()
    assert contents(one) == contents(unbroken.paths)
    assert read_record(one).environment["resumed_after_step"] > 0
    assert "resumed after step" in one.log.read_text()
    assert not one.snapshot.exists()


def _toml(raw: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k} = {text(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(text, value)) + "]"
        return f"{value:f}" if isinstance(value, float) else json.dumps(value)

    return "\n".join(f"{k} = {text(v)}" for k, v in raw.items())


def test_a_damaged_or_foreign_checkpoint_is_not_used(small: Build, tmp_path: Path) -> None:
    raw = small()
    job = job_of(raw, tmp_path / "a")
    killed(job, 3)
    good = job.paths.snapshot.read_bytes()
    assert len(good) > 2000
    flipped = bytearray(good)
    flipped[-100] ^= 1
    other = job_of(raw | {"seeds": [2]}, tmp_path / "b")
    killed(other, 3)
    cases = {
        "cut short": good[: len(good) // 2],
        "empty": b"",
        "garbage": b"\x80\x04garbage",
        "one bit": bytes(flipped),
        "another cell's": other.paths.snapshot.read_bytes(),
    }
    run = replace(job_of(raw, tmp_path / "c"), snapshot_seconds=0.0)
    wanted = run_job(run)
    for name, data in cases.items():
        job.paths.snapshot.write_bytes(data)
        job.paths.record.unlink(missing_ok=True)
        record = run_job(job)
        assert record is not None, name
        assert record.status == "done", name
        assert record.weights == wanted.weights, name
        assert "resumed_after_step" not in record.environment, name
    assert "starts again" in job.paths.log.read_text()
    assert "other key" in job.paths.log.read_text()


def test_a_checkpoint_of_other_threads_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "x"
    one = Snapshots(path, {"threads": 1}, 1.0)
    one.write(5, {"numbers": torch.arange(3), "more": (1, [2.5, None], {3: "x"})})
    assert Snapshots(path, {"threads": 2}, 1.0).read() is None
    again = Snapshots(path, {"threads": 1}, 1.0)
    found = again.read()
    assert torch.equal(found["numbers"], torch.arange(3))
    assert found["more"] == (1, [2.5, None], {3: "x"})
    assert again.resumed == 5


def test_a_checkpoint_of_a_cpu_with_other_instructions_is_not_used(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(small(), tmp_path)
    cell, paths = job.planned.cell, job.paths
    known = environment()
    assert known["cpu"].split()[0] == torch.backends.cpu.get_cpu_capability()
    paths.folder.mkdir(parents=True)
    HERE.snapshots(cell, paths).write(5, [])
    assert HERE.snapshots(cell, paths).read() == []
    other = known | {"cpu": "AVX512 amx_bf16"}
    monkeypatch.setattr(cell_run, "environment", lambda: other)
    assert HERE.snapshots(cell, paths).read() is None


def test_a_linked_checkpoint_is_not_followed(tmp_path: Path) -> None:
    real = tmp_path / "real"
    Snapshots(real, {}, 1.0).write(5, [])
    link = tmp_path / "link"
    link.symlink_to(real)
    assert Snapshots(real, {}, 1.0).read() == []
    assert Snapshots(link, {}, 1.0).read() is None


@pytest.mark.parametrize(("error", "stays"), [(ApartError, True), (RuntimeError, False)])
def test_a_checkpoint_outlives_its_processes_and_not_its_cell(
    error: type[Exception],
    stays: bool,
    small: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nsbench.benchmarks.runs import cell_run as run

    job = job_of(small(), tmp_path)
    killed(job, 3)

    monkeypatch.setattr(run, "train_cell", Mock(side_effect=error("no luck")))
    record = run_job(job)
    assert record.reason == f"{error.__name__}: no luck"
    assert job.paths.snapshot.exists() == stays


def test_short_cells_write_no_checkpoint(small: Build, tmp_path: Path) -> None:
    job = replace(job_of(small(), tmp_path), snapshot_seconds=600.0)
    record = run_job(job)
    assert record is not None
    assert "checkpoint" not in job.paths.log.read_text()


class Counts(OpenPool):
    """A pool that keeps something and does not say what."""

    seen = 0

    def refresh(self, step: int) -> None:
        self.seen += 1


def test_a_pool_that_does_not_say_its_state_is_never_resumed_in_the_middle() -> None:
    assert OpenPool().resumable
    assert not Counts().resumable


def test_gc_lists_checkpoints_of_ended_cells_only(small: Build, tmp_path: Path) -> None:
    job = job_of(small(), tmp_path)
    killed(job, 3)
    data = job.paths.snapshot.read_bytes()
    folder = ResultsFolder(tmp_path)
    assert not [w for w in find_waste(folder) if w.path == job.paths.snapshot]
    run_job(job)
    job.paths.snapshot.write_bytes(data)
    (waste,) = [w for w in find_waste(folder) if w.path == job.paths.snapshot]
    assert (waste.why, waste.size) == ("checkpoint of a cell that has ended", len(data))


def test_tables_come_back_as_they_were() -> None:
    table = pd.DataFrame(
        {"step": [1, 2], "quantity": ["a", "b"], "mean": [0.1, float("nan")]}
    ).astype({"quantity": "str", "step": "int16"})
    pd.testing.assert_frame_equal(frame_of(frame_state(table)), table)


@dataclass(frozen=True)
class Bursting:
    """InfoNCE whose loss is not a number from a share of the training on."""

    after: float
    views = "one"
    balanced = True

    def __call__(self, similarity: Any, context: Any, selection: Any) -> Any:
        loss = objectives.make("info_nce")(similarity, context, selection)
        return loss + torch.where(context.progress >= self.after, torch.nan, 0.0)


def bursting(after: float, steps: int, every: int) -> Training:
    data = datasets.make("planted", rows=120)()
    encoder = encoders.make("static", dimension=16).build(data.texts, 0)
    return opened(encoder, data, method(objective=Bursting(after), steps=steps), every=every)


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_diverged_training_ends_when_it_is_seen(every: int) -> None:
    under = bursting(0.25, 41, every)
    with pytest.raises(DivergedError, match="nan at step 10 of 41"):
        for _ in under:
            pass
    assert under.done <= 10 + 2 * every + 1
    with pytest.raises(DivergedError, match="nan at step 10 of 41"):
        under.measures.check()  # so that no snapshot of it is written


def test_a_training_that_diverges_in_its_last_step_still_fails() -> None:
    with pytest.raises(DivergedError, match="nan at step 8 of 9"):
        bursting(1.0, 9, every=4).finish()
