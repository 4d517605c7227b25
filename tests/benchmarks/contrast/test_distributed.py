"""Several processes train what one process with the whole batch trains; gloo, on the CPU."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from running import HANG, python, until

from nsbench.benchmarks.contrast.distributed import ALONE, Team, launched
from nsbench.benchmarks.records import CellPaths, ResultsFolder, read_record
from nsbench.benchmarks.runs.executors.base import Request, finished
from nsbench.benchmarks.runs.executors.team import TeamPool

CONFIG = """
schema = 1
name = "two"
samplers = [{{ name = "semi_hard", margin = 0.4 }}]
augmentations = ["token_cutoff"]
candidates = [{{ name = "queue", size = 40 }}, {{ name = "corpus", shortage = "fewer", refresh = 3, depth = 5, negatives = 2 }}]
encoders = [{{ name = "static", dimension = 16 }}, {{ name = "tiny", dimension = 16 }}]
data = [{{ name = "planted", rows = 80 }}]
seeds = [1]
no_training = false
budget = {{ steps = 7, batch_size = [9, 500], learning_rate = 0.01, chunk = {chunk} }}
difficulty = {{ every = 3 }}
run = {{ device = "cpu" }}
"""  # noqa: E501 - TOML tables stand on one line


WORDS = ("boat", "dog", "house", "cake", "river", "child")
CLASSES = ("entailment", "neutral", "contradiction")
MORE = """
schema = 1
name = "more"
encoders = [{{ name = "static", dimension = 16 }}, {{ name = "tiny", dimension = 16 }}]
data = [{{ name = "planted", rows = 80 }}]
seeds = [1]
no_training = false
budget = {{ steps = 6, batch_size = 9, learning_rate = 0.01 }}
difficulty = {{ every = 2 }}
run = {{ device = "cpu" }}
{axes}
"""
AXES = {
    "regimes and attacks": """
samplers = ["in_batch"]
augmentations = ["token_cutoff", {{ name = "adversarial", epsilon = 0.5 }}]
regimes = ["unsupervised", {{ name = "supervised", nli = {pairs} }}, {{ name = "joint", nli = {pairs} }}, {{ name = "joint_unsup", variant = "official", nli = {pairs} }}]
""",  # noqa: E501
    "guides": """
samplers = [{{ name = "guided", margin = 0.0 }}, {{ name = "guided", margin = 0.0, guide = "static[dimension=8]" }}, {{ name = "incremental", refreshes = 2, start = 0.5 }}]
augmentations = ["token_cutoff"]
candidates = ["in_batch", {{ name = "corpus", shortage = "fewer", source = "guide" }}, {{ name = "corpus", shortage = "fewer", source = "guide", guide = "static[dimension=8]" }}]
""",  # noqa: E501
}


def torchrun(*command: str) -> list[str]:
    """A command under ``torchrun --nproc-per-node 2 --no-python``, as docs/cluster.md has it."""
    start = [sys.executable, "-m", "torch.distributed.run"]  # what torchrun is the script of
    return [*start, "--nproc-per-node", "2", "--no-python", *command]


def by_key(folder: Path) -> dict[str, CellPaths]:
    return {paths.folder.name: paths for paths in ResultsFolder(folder).folders()}


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no distributed")
def test_law_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    # One torchrun for all cells: starting it costs most. A batch of 9 is parted into 5 and 4; one
    # of 500 is too large for the data, which both processes must find out together.
    config = tmp_path / "two.toml"
    config.write_text(CONFIG.format(chunk=4))
    run = ["-m", "nsbench.analysis.cli.main", "run", str(config), "--out"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    commands = ([*torchrun, *run, str(tmp_path / "2")], [*run, str(tmp_path / "1")])
    both = [
        subprocess.Popen([sys.executable, *c], stderr=subprocess.PIPE, text=True) for c in commands
    ]
    said = [process.communicate(timeout=HANG)[1] for process in both]
    one, two = by_key(tmp_path / "1"), by_key(tmp_path / "2")
    assert one.keys() == two.keys(), said[0]
    assert len(one) == 8
    done = 0
    for name in one:
        alone, together = read_record(one[name]), read_record(two[name])
        assert together.environment["processes"] == 2
        assert (alone.status, alone.reason) == (together.status, together.reason)
        if alone.status != "done":  # known before it trains: skipped
            assert "batch_size is 500" in alone.reason
            continue
        done += 1
        assert alone.cost == pytest.approx(together.cost, abs=1e-6)
        a, b = (pd.read_csv(p[name].training) for p in (one, two))
        assert a["loss"].nunique() == len(a) == 7
        np.testing.assert_allclose(b["loss"], a["loss"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(b["gradient_norm"], a["gradient_norm"], rtol=1e-4)
        a, b = (pd.read_parquet(p[name].difficulty) for p in (one, two))
        assert a["quantity"].tolist() == b["quantity"].tolist()
        np.testing.assert_allclose(b["mean"], a["mean"], rtol=1e-3, atol=1e-4)
    assert done == 4
    ends = [process.returncode for process in both]
    assert ends == [0, 0], said[0]  # skipped is not failed


@pytest.mark.slow  # cells of one and of two processes
@pytest.mark.parametrize("axes", AXES)
def test_law_regimes_attacks_and_guides_are_those_of_one_process(tmp_path: Path, axes: str) -> None:
    nsbench = Path(sys.executable).with_name("nsbench")
    if not nsbench.exists():
        pytest.skip("nsbench is not installed as a command")
    rows = [
        {"premise": f"a {a} and {b}", "hypothesis": f"{b} of {a}", "label": CLASSES[(i + j) % 3]}
        for i, a in enumerate(WORDS)
        for j, b in enumerate(WORDS)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = '{ name = "file", path = "pairs.jsonl", nli = "pairs" }'
    (tmp_path / "more.toml").write_text(MORE.format(axes=AXES[axes].format(pairs=pairs)))
    run = [str(nsbench), "run", "more.toml", "--out"]
    for command in ([*run, "1"], torchrun(*run, "2")):
        ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
    one, two = by_key(tmp_path / "1"), by_key(tmp_path / "2")
    assert one.keys() == two.keys()
    assert len(one) == (14 if "regimes" in axes else 18)
    for name in one:
        alone, together = read_record(one[name]), read_record(two[name])
        assert (alone.status, together.status) == ("done", "done")
        assert (alone.environment["processes"], together.environment["processes"]) == (1, 2)
        assert alone.cost == pytest.approx(together.cost, abs=1e-6)
        a, b = (pd.read_csv(p[name].training) for p in (one, two))
        np.testing.assert_allclose(b["loss"], a["loss"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(b["gradient_norm"], a["gradient_norm"], rtol=1e-3, atol=1e-5)
        a, b = (pd.read_csv(p[name].scores) for p in (one, two))
        np.testing.assert_allclose(b["value"], a["value"], rtol=0, atol=1e-4)


@pytest.mark.slow  # three runs of two processes each
def test_law_two_killed_processes_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    config = tmp_path / "two.toml"
    one_cell = CONFIG.format(chunk=0).replace("steps = 7", "steps = 150").replace("[9, 500]", "9")
    one_cell = one_cell.replace('{ name = "static", dimension = 16 }, ', "")
    one_cell = one_cell.replace('{ name = "queue", size = 40 }, ', "")
    config.write_text(one_cell.replace('["token_cutoff"]', '["dropout"]'))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, "-m", "nsbench.analysis.cli.main", "run", str(config)]
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    often = ["--checkpoint-every", "0.001", "--out", str(broken)]
    process = subprocess.Popen([*command, *often], stderr=subprocess.DEVNULL)
    stored = (broken / "runs").glob
    held = until(lambda: list(stored("*/checkpoint.safetensors")), lambda: process.poll() is None)
    owner = json.loads((held[0].parent / "claim.json").read_bytes())
    os.kill(owner["pid"], signal.SIGKILL)
    assert process.wait() != 0
    for more in (often, ["--out", str(unbroken)]):
        subprocess.run([*command, *more], check=True, capture_output=True)
    one, two = by_key(unbroken), by_key(broken)
    assert one.keys() == two.keys()
    assert any("resumed_after_step" in read_record(p).environment for p in two.values())
    for name in one:
        for file in ("scores.csv", "training.csv", "difficulty.parquet", "choices.parquet"):
            assert (one[name].folder / file).read_bytes() == (two[name].folder / file).read_bytes()


def test_the_error_of_another_process_is_shown(tmp_path: Path) -> None:
    # Each process reads a file of its own: the second one knows no cell of the first one's.
    for rank in range(2):
        told = CONFIG.format(chunk=0).replace("seeds = [1]", f"seeds = [{rank}]")
        (tmp_path / f"{rank}.toml").write_text(told)
    run = f"{sys.executable} -m nsbench.analysis.cli.main run $RANK.toml --out both"
    ended = subprocess.run(
        torchrun("bash", "-c", run), check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode
    found = re.search(r"error: process 1 of 2 has planned no cell (\w+): other files", ended.stderr)
    assert found, ended.stderr
    # torchrun may end the first process before it has written why the cell failed
    records = map(finished, by_key(tmp_path / "both").values())
    assert not any(r is not None and r.status == "done" for r in records)


ENDS = """
import weakref
import torch.distributed as dist
from nsbench.benchmarks.contrast.distributed import Team, join, leave
join(Team(0, 2), "cpu")
from transformers import BertModel  # imports what torch has for several processes
import torch.distributed.nn
group = weakref.ref(dist.group.WORLD)
leave()
assert group() is None
"""


def test_no_thread_of_the_group_is_left_when_python_ends() -> None:
    alone = {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    ended = python("-c", ENDS, env=os.environ | alone)
    assert ended.returncode == 0, ended.stderr


def test_one_process_is_a_team_of_its_own() -> None:
    value = torch.ones(3, requires_grad=True)
    assert ALONE.gather(value, 3) is value
    assert ALONE.own(5).tolist() == [0, 1, 2, 3, 4]
    assert ALONE.announce(b"word") == b"word"
    ALONE.meet(ValueError("alone"))


def test_parts_of_a_batch_cover_it_once() -> None:
    for count, size in ((9, 2), (8, 3), (3, 3)):
        parts = [Team(rank, size).own(count).tolist() for rank in range(size)]
        assert [row for part in parts for row in part] == list(range(count))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("size", "rank"), [("two", "0"), ("2", "2"), ("2", "-1")])
def test_senseless_variables_are_refused(
    size: str, rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(ValueError, match=r"WORLD_SIZE is .* start this with torchrun"):
        launched()


def test_torchrun_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launched() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    assert launched() == Team(1, 3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"executor": "ray"}, "--executor ray does not work"),
        ({"workers": 4}, "--workers 4 does not work"),
        ({"beside": 0}, "--beside does not work under torchrun"),
        ({"time_limit": 5.0}, "time limit"),
        ({"device": "cuda:1"}, "say 'cuda'"),
    ],
)
def test_what_does_not_work_together_is_refused(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        TeamPool.check(Request(ResultsFolder(tmp_path), **given))
    TeamPool.check(Request(ResultsFolder(tmp_path)))
