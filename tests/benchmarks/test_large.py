"""Large matrices cost no more than small ones, cell by cell: counted work, not measured time."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nsbench.benchmarks import cli_matrix, matrix, records
from nsbench.benchmarks.cli import app
from nsbench.benchmarks.config import parse_config
from nsbench.benchmarks.estimate import measured_cells
from nsbench.benchmarks.matrix import expand
from nsbench.benchmarks.records import ResultsFolder, content_key
from nsbench.benchmarks.status import StatusReader
from nsbench.benchmarks.synthetic import SEEDS, VARIANTS, write

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def real(small: Build, run_matrix: Callable[..., Any]) -> ResultsFolder:
    folder: ResultsFolder = run_matrix(small(samplers=["in_batch", "hard"]))[0]
    return folder


def test_keys_are_made_of_content_whatever_cells_share(small: Build) -> None:
    raw = small(
        samplers=["in_batch", {"name": "hard", "k": [2, 4]}, "bm25"],
        augmentations=["none", {"name": "token_cutoff", "rate": [0.1, 0.2]}],
        seeds=[1, 2, 3],
        limits=[0, 50],
        no_training=True,
    )
    planned = expand(parse_config(raw))
    assert len(planned) == 4 * 3 * 2 * 3 + 3  # and one untrained per seed, without limits
    assert [p.cell.key for p in planned] == [content_key(p.cell.plain()) for p in planned]
    assert len({p.cell.key for p in planned}) == len(planned)
    first = [(p.cell.limit, p.cell.seed) for p in planned[3:9]]
    assert first == [(0, 1), (0, 2), (0, 3), (50, 1), (50, 2), (50, 3)]


def test_expanding_asks_no_more_for_more_seeds(
    small: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    plain_why, plain_make = matrix.why_skip, matrix.make

    def why_skip(cell: Any) -> str:
        asked["why_skip"] += 1
        return plain_why(cell)

    def make(registry: Any, choice: Any) -> Any:
        asked["make"] += 1
        return plain_make(registry, choice)

    monkeypatch.setattr(matrix, "why_skip", why_skip)
    monkeypatch.setattr(matrix, "make", make)
    counts = []
    for seeds in (2, 20):
        asked.clear()
        assert len(expand(parse_config(small(seeds=list(range(seeds)))))) == seeds
        counts.append(dict(asked))
    assert counts[0] == counts[1]
    assert counts[0]["why_skip"] == 1


def test_a_synthetic_folder_is_laid_out_as_a_study(real: ResultsFolder, tmp_path: Path) -> None:
    made = ResultsFolder(tmp_path / "made")
    count = 2 * SEEDS * VARIANTS + 3
    write(real, made, count)
    found, bad = made.records()
    assert (len(found), bad) == (count, [])
    for paths, record in found:
        plain = {k: v for k, v in record.cell.items() if k != "labels"}
        assert paths.folder.name.endswith(content_key(plain))
        assert paths.difficulty.is_file()
    encoders = Counter(r.cell["labels"]["encoder"] for _, r in found)
    assert encoders == {"synthetic 0": count - 3, "synthetic 1": 3}
    assert StatusReader(made).read()["counts"]["done"] == count
    assert len(made.read_matrix()["cells"]) == count


def test_status_reads_each_record_once_and_only_what_is_new_after(
    real: ResultsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ResultsFolder(tmp_path / "made")
    write(real, made, 30)
    read: list[str] = []
    plain = records.read_json

    def read_json(path: Any, *rest: Any) -> Any:
        read.append(Path(path).name)
        return plain(path, *rest)

    monkeypatch.setattr(records, "read_json", read_json)
    reader = StatusReader(made)
    reader.read()
    assert Counter(read) == {"record.json": 30, "matrix.json": 1}
    read.clear()
    next(made.folders()).record.touch()
    reader.read()
    assert Counter(read) == {"record.json": 1}


def test_rates_of_a_large_folder_come_from_a_sample(real: ResultsFolder, tmp_path: Path) -> None:
    made = ResultsFolder(tmp_path / "apart" / "made")
    made.root.mkdir(parents=True)
    write(real, made, 30)
    assert len(measured_cells(made, most=7)) == 6  # every fifth of 30
    assert len(measured_cells(made, most=30)) == 30


def test_a_dry_run_lists_some_of_many_cells_and_counts_all(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_matrix, "SHOWN", 3)
    seeds = ", ".join(map(str, range(7)))
    text = "\n".join(
        [
            'schema = 1\nname = "small"\nsamplers = ["in_batch"]\naugmentations = ["none"]',
            'encoders = [{ name = "static", dimension = 16 }]',
            f'data = [{{ name = "planted", rows = 200 }}]\nseeds = [{seeds}]\nno_training = false',
        ]
    )
    (tmp_path / "m.toml").write_text(text)
    done = CliRunner().invoke(
        app, ["run", str(tmp_path / "m.toml"), "--dry-run", "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.count("to run") == 3 + 1
    assert "and 4 more" in done.stdout
    assert "7 cells, 0 of them skipped, 7 to run" in done.stdout


def test_status_says_where_slurm_left_its_logs(real: ResultsFolder) -> None:
    assert StatusReader(real).read()["slurm"] == ""
    paths = next(real.folders())
    key = paths.folder.name.rpartition("-")[2]
    logs = real.root / "slurm"
    logs.mkdir()
    (logs / "submitted.json").write_text(json.dumps({key: "17_3"}))
    paths.record.unlink()
    owner = {"host": "h", "machine": "m", "pid": 1, "born": "1", "token": "t", "since": 0.0}
    paths.claim.write_text(json.dumps(owner))
    state = StatusReader(real).read()
    assert state["slurm"] == str(logs)
    assert state["at_work"][0]["log"] == str(logs / "17_3_0_log.err")
    shown = CliRunner().invoke(app, ["status", str(real.root)])
    assert "logs of Slurm's tasks" in shown.stdout
