"""Large matrices cost no more than small ones, cell by cell: counted work, not measured time."""

import csv
import json
import math
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from running import Build, Run, invoked, planned_of

from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.matrix import expand as matrix
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.matrix.estimate import measured_cells
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records import ResultsFolder, json_file
from nsbench.benchmarks.records import record as records
from nsbench.benchmarks.records.status import StatusReader
from tools.synthetic import study, write
from tools.timing import scale
from tools.timing._commands import Spent


@pytest.fixture
def real(small: Build, run_matrix: Run) -> ResultsFolder:
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
    planned = planned_of(raw)
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


@pytest.mark.parametrize("cells", [25, 100, 300, 2500, 10_000, 100_000])
def test_a_study_has_the_cells_asked_for(cells: int) -> None:
    made = study(cells)
    axes = ("samplers", "augmentations", "encoders", "seeds")
    assert math.prod(len(made[a]) for a in axes) == cells
    assert tomllib.loads(tomli_w.dumps(made)) == made


def test_a_synthetic_folder_is_the_matrix_it_says_all_recorded(
    real: ResultsFolder, tmp_path: Path
) -> None:
    made = ResultsFolder(tmp_path / "made")
    assert write(real, made, study(75)) == 75
    found, bad = made.records()
    assert (len(found), bad) == (75, [])
    for paths, record in found:
        plain = {k: v for k, v in record.cell.items() if k != "labels"}
        assert paths.folder.name.endswith(content_key(plain))
        assert paths.difficulty.is_file()
    assert StatusReader(made).read()["counts"]["done"] == 75
    again = invoked("run", made.root / "synthetic.toml", "--out", made.root)
    assert "75 done, 75 of them from before" in again.stdout


def test_the_cost_of_a_cell_is_what_a_larger_folder_takes_above_the_smallest() -> None:
    found = {
        scale.SMALLEST: {"plan": Spent(2.0, 3.0, 100.0)},
        1025: {"plan": Spent(4.0, 9.0, 150.0)},
        4025: {"plan": Spent(10.0, 20.0, 300.0)},
    }
    rows = scale.rows(found)
    assert [row["cell_ms"] for row in rows] == ["", "2", "2"]
    assert "exponent of the cost of a cell: 0.00" in scale.table(rows)


@pytest.mark.slow
def test_the_scale_script_measures_each_command(
    real: ResultsFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--cells", "50", "--rounds", "1", "--work", str(tmp_path)]
    assert scale.main([str(real.root), *small, "--out", str(tmp_path / "kept")]) == 0
    with (tmp_path / "kept" / "scale.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    named = {"plan", "start", "status", "leaderboard", "refresh"}
    assert {(r["what"], r["cells"]) for r in rows} == {(n, c) for n in named for c in ("25", "50")}
    assert all(float(r["cpu_seconds"]) >= 0 and float(r["peak_mib"]) > 10 for r in rows)
    assert "leaderboard" in capsys.readouterr().out


def test_status_reads_each_record_once_and_only_what_is_new_after(
    real: ResultsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ResultsFolder(tmp_path / "made")
    write(real, made, study(50))
    read: list[str] = []
    plain = json_file.read_json_bytes

    def read_json_bytes(path: Any) -> bytes:
        if Path(path).name != "submitted.json":  # of Slurm: not there
            read.append(Path(path).name)
        return plain(path)

    monkeypatch.setattr(json_file, "read_json_bytes", read_json_bytes)
    monkeypatch.setattr(records, "read_json_bytes", read_json_bytes)
    reader = StatusReader(made)
    reader.read()
    assert Counter(read) == {"record.json": 50, "matrix.json": 1}
    read.clear()
    next(made.folders()).record.touch()
    reader.read()
    assert Counter(read) == {"record.json": 1}


def test_rates_of_a_large_folder_come_from_a_sample(real: ResultsFolder, tmp_path: Path) -> None:
    made = ResultsFolder(tmp_path / "apart" / "made")
    made.root.mkdir(parents=True)
    write(real, made, study(50))
    assert len(measured_cells(made, most=7)) == 7  # every eighth of 50
    assert len(measured_cells(made, most=50)) == 50


def test_a_dry_run_sums_cells_up_and_lists_them_on_request(small: Build, tmp_path: Path) -> None:
    seeds = ", ".join(map(str, range(7)))
    text = "\n".join(
        [
            'schema = 1\nname = "small"\nsamplers = ["in_batch"]\naugmentations = ["none"]',
            'encoders = [{ name = "static", dimension = 16 }]',
            f'data = [{{ name = "planted", rows = 200 }}]\nseeds = [{seeds}]\nno_training = false',
        ]
    )
    (tmp_path / "m.toml").write_text(text)
    command = ["run", tmp_path / "m.toml", "--dry-run", "--out", tmp_path / "out", "--no-probe"]
    done = invoked(*command)
    assert re.search(r"encoder: +1  static\(dimension=16\)", done.stdout)
    assert re.search(r"seed: +7  0, 1, 2, 3, 4, 5 and 1 more", done.stdout)
    assert "7 cells, 0 of them skipped, 7 to run" in done.stdout
    assert "no estimate" in done.stdout
    listed = invoked(*command, "--cells")
    assert listed.stdout.count("to run") == 7 + 1
    assert listed.stdout.endswith(done.stdout)


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
    assert "logs of Slurm's tasks" in invoked("status", real.root).stdout
