"""Hostile input as a table: what was tried, what it gave; nothing outside is written or run."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running import Build, jobs_of, planned_of
from safetensors import SafetensorError

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.keys import slug
from nsbench.benchmarks.matrix.config import ConfigError, load_config, parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records import CellPaths, ResultsFolder
from nsbench.benchmarks.records.status import StatusReader
from nsbench.benchmarks.runs import garbage
from nsbench.benchmarks.runs.executors.base import finished, plan_jobs, run_job

LONG = "x" * 1_000_000
KEY = "0123456789ab"


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


CONFIGS: dict[str, dict[str, Any]] = {
    "huge number of steps": {"budget": {"steps": 10**30}},
    "negative steps": {"budget": {"steps": -1}},
    "learning rate nan": {"budget": {"learning_rate": float("nan")}},
    "learning rate infinite": {"budget": {"learning_rate": float("inf")}},
    "seed beyond 2**31": {"seeds": [2**40]},
    "1 MB name of a sampler": {"samplers": [LONG]},
    "1 MB name of a matrix": {"name": LONG},
    "path as a sampler": {"samplers": ["../../etc/passwd"]},
    "control characters in a sampler": {"samplers": ["hard\x00\x1b[31m"]},
    "HTML as an objective": {"objectives": ["<script>alert(1)</script>"]},
    "device with a command": {"run": {"device": "cuda; rm -rf /"}},
    "newline in a Slurm partition": {"run": {"slurm": {"partition": "a\n#SBATCH --uid=0"}}},
    "command in a Ray address": {"run": {"ray": {"address": "$(touch x)"}}},
    "unknown key": {"__class__": "x"},
    "time limit infinite": {"run": {"time_limit": float("inf")}},
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_hostile_matrix_is_refused_in_a_short_sentence(small: Build, what: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        planned_of(small(**CONFIGS[what]))
    assert len(str(caught.value)) < 5000 or "1 MB" in what


def test_hostile_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.toml"
    for text in ("a = " + "[" * 100_000, "\x00", "x = 1\nx = 2", "[a]\n[a]\n", "name = 'x"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="is not valid TOML"):
            load_config(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(str(path))


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "..", ".", "a/b", "a\x00b", "", "-rf", LONG, "<b>", "\u202e"]
)
def test_no_name_becomes_a_path(tmp_path: Path, name: str) -> None:
    assert "/" not in slug(name)
    paths = ResultsFolder(tmp_path).cell(name, KEY)
    assert paths.folder.parent == tmp_path / "runs"
    assert paths.folder.resolve().parent == (tmp_path / "runs").resolve()
    assert len(paths.folder.name) < 100


def pickled(flag: Path) -> bytes:
    return pickle.dumps(Bomb(flag))


RECORDS: dict[str, Callable[[Path], bytes]] = {
    "pickle": pickled,
    "empty": lambda flag: b"",
    "nothing but zeros": lambda flag: b"\0" * 4096,
    "truncated": lambda flag: b'{"key": "0123456789ab", "status": "do',
    "deep nesting": lambda flag: b"[" * 200_000,
    "huge number": lambda flag: b'{"key": 1' + b"0" * 10_000 + b"}",
    "another type": lambda flag: b'{"key": [], "cell": {}, "status": "done"}',
    "unknown status": lambda flag: b'{"key": "a", "cell": {}, "status": "winning"}',
    "seconds as text": lambda flag: (
        b'{"key": "a", "cell": {}, "status": "failed", "seconds": {"total": "x"}}'
    ),
    "labels as a list": lambda flag: (
        b'{"key": "a", "cell": {"labels": [1]}, "status": "failed", "reason": ""}'
    ),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_hostile_record_is_named_and_left_out(tmp_path: Path, what: str) -> None:
    flag = tmp_path / "flag"
    folder = ResultsFolder(tmp_path / "out")
    cell = folder.runs / f"evil-{KEY}"
    cell.mkdir(parents=True)
    (cell / "record.json").write_bytes(RECORDS[what](flag))
    state = StatusReader(folder).read()
    assert len(state["unreadable"]) == 1
    assert str(cell) in state["unreadable"][0]
    assert state["counts"]["done"] == 0
    assert list(garbage.find_waste(folder)) == []
    assert not flag.exists()


def test_a_link_in_a_results_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "record.json").write_text(json.dumps({"key": KEY, "cell": {}, "status": "done"}))
    folder = ResultsFolder(tmp_path / "out")
    folder.runs.mkdir(parents=True)
    (folder.runs / f"link-{KEY}").symlink_to(outside)
    assert list(folder.folders()) == []
    assert StatusReader(folder).read()["counts"]["done"] == 0


def test_a_link_in_the_way_of_a_file_is_replaced_and_not_written_through(
    small: Build, tmp_path: Path
) -> None:
    """Whoever can write a results folder cannot make a run write elsewhere by links to files."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    config = parse_config(small())
    (job,) = plan_jobs(expand(config), ResultsFolder(tmp_path / "out"), "cpu", 1)
    job.paths.folder.mkdir(parents=True)
    for name in ("cell.json", "scores.csv", "log.txt", "record.json", "difficulty.parquet"):
        (job.paths.folder / name).symlink_to(precious)
    assert finished(job.paths) is None
    record = run_job(job)
    assert record.status == "done"
    assert precious.read_text() == "mine"
    assert not CellPaths(job.paths.folder).record.is_symlink()


def test_a_cell_whose_folder_is_a_link_is_not_run(small: Build, tmp_path: Path) -> None:
    (job,) = jobs_of(small(), tmp_path / "out")
    outside = tmp_path / "outside"
    outside.mkdir()
    job.paths.folder.parent.mkdir(parents=True)
    job.paths.folder.symlink_to(outside)
    with pytest.raises(StorageError, match="is a link"):
        run_job(job)
    assert list(outside.iterdir()) == []


def test_pickles_in_place_of_weights_are_not_opened(tmp_path: Path) -> None:
    from nsbench.benchmarks.encoders import encoders

    flag = tmp_path / "flag"
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert"}')
    for name in ("pytorch_model.bin", "model.safetensors"):
        (model / name).write_bytes(pickled(flag))
        with pytest.raises((ValueError, OSError, SafetensorError)):
            encoders.make("transformer", source=str(model)).build((), 0)
    assert not flag.exists()
