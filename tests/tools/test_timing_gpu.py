"""What checks and times a device goes through on a CPU, and sees what is wrong."""

import csv
import os
from pathlib import Path

import pytest
import torch
from running import HANG, python

from nsbench.benchmarks.training.replay.capture import VARIABLE, Captured
from tools.timing import gpu
from tools.timing._device_steps import open_training
from tools.timing.tape import SOFTWARE, modes

CPU = torch.device("cpu")
ABSENT = ("orjson", "faiss", "mteb", "datasets", "bm25s", "scikit_posthocs", "polars")


@pytest.fixture
def bench() -> gpu.Bench:
    return gpu.Bench(CPU, 600)


def test_a_recorded_training_is_seen_to_equal_one_made_step_by_step(bench: gpu.Bench) -> None:
    bench.check("table", lambda: bench._same({"encoder": "static", "view": "token_cutoff"}))
    assert bench.checks[0].passed
    assert "steps replayed, losses 0.0e+00 apart" in bench.checks[0].line()


def test_a_step_that_is_replayed_wrongly_is_seen(
    bench: gpu.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nsbench.benchmarks.training.replay.capture.fill", lambda still, batch: None
    )
    bench.check("table", lambda: bench._same({"encoder": "static"}))
    assert bench.checks[0].passed is False
    assert bench.checks[0].line().startswith("FAILED")


def test_rows_say_what_was_measured_and_what_was_not(
    bench: gpu.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.measure_limits()
    bench.steps(gpu.SMALL, 8, 16)
    ways = [(row["how"], row["beside"]) for row in bench.rows[1:]]
    assert ways == [
        ("as they come", 1),
        ("software", 1),
        ("software", 4),
    ]
    for row in bench.rows[1:]:
        made = 1e3 * 16 / float(row["ms_per_step"])
        assert float(row["sentences_per_second"]) == pytest.approx(made, rel=1e-2, abs=1)
    bench.until = 0
    bench.steps(gpu.SMALL, 8, 16)
    bench.check("late", lambda: "")
    assert bench.rows[-1]["note"] == "not measured: no time left"
    assert bench.checks[-1].passed is None
    assert len(bench.table().splitlines()) == 2 + len(bench.rows)


def test_the_mode_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with modes(SOFTWARE):
        under = open_training(CPU, gpu.SMALL, encoder="static")
    assert isinstance(under.run, Captured)
    assert VARIABLE not in os.environ


def test_without_a_device_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert gpu.main([]) == 2
    assert "--rehearse" in capsys.readouterr().err


@pytest.mark.slow  # some 20 s
def test_all_of_it_runs_where_little_more_than_torch_is_installed(tmp_path: Path) -> None:
    code = (
        f"import sys\nfor name in {ABSENT!r}: sys.modules[name] = None\n"
        "from tools.timing.gpu import main\n"
        f"sys.exit(main(['--rehearse', '--out', {str(tmp_path)!r}]))"
    )
    done = python("-c", code, timeout=HANG)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) >= len(gpu.CHECKED) + 2
    with (tmp_path / gpu.GPU).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {"limits"} < {row["job"] for row in rows}
    assert any("datasets" in row["note"] for row in rows)
