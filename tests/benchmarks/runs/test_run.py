"""A cell's life: same seed same bytes, resume equals unbroken, a failure is a record."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_data import drawn_pairs, write_pairs
from running import Build, Run, planned_of

from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records import CellPaths, read_record
from nsbench.benchmarks.runs.cell_scores import evaluated_model
from nsbench.benchmarks.runs.executors.base import finished
from nsbench.benchmarks.training import step
from nsbench.samplers import samplers

FILES = ("cell.json", "scores.csv", "difficulty.parquet", "training.csv")


def contents(root: Path) -> dict[str, bytes]:
    return {
        f"{folder.name}/{name}": (folder / name).read_bytes()
        for folder in sorted((root / "runs").iterdir())
        for name in FILES
        if (folder / name).exists()
    }


def test_same_seed_same_bytes_other_seed_other_bytes(
    small: Build, run_matrix: Run, tmp_path: Path
) -> None:
    raw = small(samplers=["random"], augmentations=["token_cutoff"])
    first, _ = run_matrix(raw, tmp_path / "a")
    second, _ = run_matrix(raw, tmp_path / "b")
    assert contents(first.root) == contents(second.root)
    other, _ = run_matrix(raw | {"seeds": [2]}, tmp_path / "c")
    mine = next(v for k, v in contents(first.root).items() if k.endswith("scores.csv"))
    its = next(v for k, v in contents(other.root).items() if k.endswith("scores.csv"))
    assert mine != its


def test_workers_give_the_same_bytes_as_one_process(
    small: Build, run_matrix: Run, tmp_path: Path
) -> None:
    raw = small(samplers=["in_batch", "random"], encoders=["tiny"])
    one, _ = run_matrix(raw, tmp_path / "one")
    two, _ = run_matrix(raw, tmp_path / "two", workers=2)
    assert contents(one.root) == contents(two.root)


def test_samplers_of_one_seed_share_weights_and_batches(small: Build, run_matrix: Run) -> None:
    folder, _ = run_matrix(small(samplers=["in_batch", "random", "hard"]))
    first = []
    for paths in folder.folders():
        table = pd.read_parquet(paths.difficulty)
        of_first = table[(table.step == 0) & (table.quantity == "candidate_similarity")]
        first.append(of_first["mean"].item())
    assert len(set(first)) == 1


def test_running_again_does_nothing_twice(small: Build, run_matrix: Run) -> None:
    folder, records = run_matrix(small())
    assert [r.status for r in records] == ["done"]
    before = {p: p.stat().st_mtime_ns for p in folder.root.rglob("*") if p.is_file()}
    _, again = run_matrix(small())
    assert again == []
    assert before == {p: p.stat().st_mtime_ns for p in folder.root.rglob("*") if p.is_file()}


def test_killed_and_resumed_equals_unbroken(small: Build, run_matrix: Run, tmp_path: Path) -> None:
    raw = small(samplers=["in_batch", "random", "hard"], seeds=[1, 2])
    raw["budget"]["steps"] = 60
    unbroken, _ = run_matrix(raw, tmp_path / "unbroken")
    config = tmp_path / "m.json"
    config.write_text(json.dumps(raw))
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from nsbench.benchmarks.matrix.config import parse_config\n"
        "from nsbench.benchmarks.runs.executors.base import finished, plan_jobs, run_job\n"
        "from nsbench.benchmarks.matrix.expand import expand\n"
        "from nsbench.benchmarks.records import ResultsFolder\n"
        "folder = ResultsFolder(Path(sys.argv[2]))\n"
        "raw = json.loads(Path(sys.argv[1]).read_text())\n"
        "jobs = plan_jobs(expand(parse_config(raw)), folder, 'cpu', 1)\n"
        "steps = iter(range(1000))\n"
        "def after_step():\n"
        "    if next(steps) == 90:\n"
        "        print('in the middle of the second cell', flush=True)\n"
        "        sys.stdin.read()\n"
        "for job in [j for j in jobs if finished(j.paths) is None]:\n"
        "    run_job(job, after_step)\n"
    )
    broken = tmp_path / "broken"
    command = [sys.executable, "-c", code, str(config), str(broken)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list((broken / "runs").glob("*/record.json")))
    assert done == 1
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert contents(broken) == contents(unbroken.root)
    assert not list((broken / "runs").glob("*/claim.json"))


def test_failure_in_the_middle_is_a_record_and_the_others_finish(
    small: Build, run_matrix: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsbench.samplers.hard_top_k import HardTopK

    def explode(self: HardTopK, context: Any) -> Any:
        raise RuntimeError("no luck\nsecond line")

    monkeypatch.setattr(HardTopK, "__call__", explode)
    folder, records = run_matrix(small(samplers=["hard", "in_batch"]))
    status = {r.cell["sampler"]["name"]: r for r in records}
    assert status["hard"].status == "failed"
    assert status["hard"].reason == "RuntimeError: no luck"
    assert "explode" in status["hard"].traceback
    assert status["in_batch"].status == "done"
    paths = next(p for p in folder.folders() if "hard" in p.folder.name)
    assert not paths.scores.exists()
    assert finished(paths) is not None
    assert finished(paths, retry_failed=True) is None
    log = paths.log.read_text()
    assert "start: hard x none, seed 1" in log
    assert "RuntimeError: no luck" in log
    assert "end: failed" in log


def test_diverged_training_is_a_failed_record(
    small: Build, run_matrix: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = small(encoders=["tiny"])
    raw["budget"] |= {"learning_rate": 100.0, "clip": 0.0, "steps": 30}
    losses = step.row_losses
    monkeypatch.setattr(step, "row_losses", lambda *args: losses(*args) * float("nan"))
    _, records = run_matrix(raw)
    assert records[0].status == "failed"
    assert "the loss is nan at step 0" in records[0].reason


def test_of_a_long_reason_the_end_is_kept(
    small: Build, run_matrix: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsbench.samplers.hard_top_k import HardTopK

    def explode(self: HardTopK, context: Any) -> Any:
        raise RuntimeError("Out of memory. " + "Process 1 has 2 GiB. " * 99 + "Set this variable.")

    monkeypatch.setattr(HardTopK, "__call__", explode)
    _, (record,) = run_matrix(small(samplers=["hard"]))
    assert record.reason.startswith("RuntimeError: Out of memory. Process 1")
    assert record.reason.endswith("Set this variable.")
    assert len(record.reason) < 510


def test_impossible_pairing_is_skipped_with_its_reason(small: Build, run_matrix: Run) -> None:
    _, records = run_matrix(small(augmentations=["token_shuffle", "none"]))
    skipped = [r for r in records if r.status == "skipped"]
    assert len(skipped) == 1
    assert "position" in skipped[0].reason


def test_whatever_reads_labels_is_skipped_where_there_are_none(
    small: Build, run_matrix: Run, tmp_path: Path
) -> None:
    path = write_pairs(tmp_path / "pairs.csv", drawn_pairs(200, list("abcdefgh"), 5))
    reading = {
        kind: [n for n in made.names() if "truth" in getattr(made.make(n), "needs", ())]
        for kind, made in (("samplers", samplers), ("objectives", objectives))
    }
    assert reading == {"samplers": ["oracle"], "objectives": ["debiased_rows"]}
    inside = {"name": "matryoshka", "dimensions": [4], "inner": "debiased_rows"}
    names = [*reading["objectives"], inside, "info_nce"]
    data = [{"name": "file", "path": str(path)}]
    raw = small(samplers=["in_batch", *reading["samplers"]], objectives=names, data=data)
    raw["evaluation"] = {"tasks": []}
    _, records = run_matrix(raw)
    found = {(r.cell["sampler"]["name"], r.cell["objective"]["name"]): r for r in records}
    assert len(found) == 6
    for (sampler, objective), record in found.items():
        if (sampler, objective) == ("in_batch", "info_nce"):
            assert record.status == "done"
        else:
            assert (record.status, "needs labels, and" in record.reason) == ("skipped", True)


def test_batch_larger_than_the_data_is_a_clear_failure(small: Build, run_matrix: Run) -> None:
    raw = small()
    raw["budget"]["batch_size"] = 500
    with pytest.raises(ValueError, match="batch_size is 500, but planted has only 200 rows"):
        run_matrix(raw)


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b'{"key": 1}', b"\x00\xff"])
def test_garbage_record_counts_as_none(tmp_path: Path, rubbish: bytes) -> None:
    paths = CellPaths(tmp_path)
    paths.record.write_bytes(rubbish)
    assert finished(paths) is None


def test_record_says_how_it_came_about(small: Build, run_matrix: Run) -> None:
    folder, _ = run_matrix(small())
    record = read_record(next(folder.folders()))
    assert record.environment["versions"]["torch"]
    assert record.cost["steps"] == 6
    assert record.cost["passes"] == 2 * 6 * 16
    assert record.cost["negatives_per_anchor"] == 15
    assert record.data["rows"] == 200
    assert len(record.weights) == 64


def test_dev_choice_keeps_the_best_checkpoint(small: Build, run_matrix: Run) -> None:
    raw = small(evaluation={"tasks": ["own"], "dev": "own", "dev_every": 2})
    _, records = run_matrix(raw)
    assert records[0].status == "done", records[0].traceback
    assert records[0].cost["dev_looks"] == 3
    assert 0 < records[0].cost["dev_best"] <= 1


def test_a_checkpoint_is_scored_in_the_precision_asked_for(small: Build) -> None:
    (planned,) = planned_of(small(encoders=["tiny"]))
    texts = ["the cat sat on the mat", "a dog", "the bird sang"]
    encoder = encoders.make("tiny").build(texts, 0)
    seen = {}
    for precision in ("fp32", "bf16"):
        scored = replace(planned.cell.evaluation, precision=precision)
        cell = replace(planned.cell, evaluation=scored)
        seen[precision] = evaluated_model(cell, encoder, "abc").encode(texts)
    assert (seen["fp32"] != seen["bf16"]).any()
    np.testing.assert_allclose(seen["bf16"], seen["fp32"], rtol=0, atol=0.05)
