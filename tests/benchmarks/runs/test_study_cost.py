"""What a study still costs: from its last trials, at the speed of the machine that goes on."""

import json
from pathlib import Path

import pytest
from made_studies import small_study

from nsbench.benchmarks.runs.study_cost import (
    RECENT,
    Known,
    as_here,
    in_hours,
    seconds_left,
    slower,
)
from nsbench.benchmarks.runs.trials import Trial
from nsbench.benchmarks.runs.tuning import Study


def trial(method: str, number: int, seconds: float) -> Trial:
    return Trial(method, number, {}, ("k",), 0.5, seconds)


def test_a_method_without_trials_costs_what_the_last_ones_took() -> None:
    took = [3600.0] * RECENT + [20.0] * RECENT
    known = Known([trial("first", i, s) for i, s in enumerate(took)], [])
    assert seconds_left(["first", "other"], known, 3, 4, 0) == (60.0, 0.0)  # the first has all


def test_the_very_first_trial_which_loads_data_does_not_count() -> None:
    known = Known([trial("a", 0, 3600.0), trial("a", 1, 20.0)], [5.0, 2.0])
    missing, compared = seconds_left(["a"], known, 3, 4, 2)
    assert missing == 20.0
    assert compared == 2 * (20.0 + 2.0)


@pytest.mark.parametrize("times", [40.0, 1 / 40])
def test_trials_of_another_machine_are_worth_what_they_would_take_here(times: float) -> None:
    before = [trial("a", i, 10.0) for i in range(4)]
    now = [trial("b", 0, 999.0), trial("b", 1, 10.0 * times)]  # the first one loads data
    assert slower(before, now) == pytest.approx(times)
    ended = as_here([*before, *now], len(before), times)
    assert [t.seconds for t in ended] == pytest.approx([10 * times] * 4 + [999.0, 10 * times])
    known = Known(ended, [2.0], times)
    missing, compared = seconds_left(["a", "b", "c"], known, 4, 2, 1)
    assert missing >= 4 * 10 * times
    assert compared >= 2.0 * times
    assert f"{times:.2g} times as long here as before" in in_hours(missing, compared, known, 1)


def test_chance_is_no_other_machine() -> None:
    before = [trial("a", i, 10.0) for i in range(4)]
    assert slower(before, [trial("a", 4, 15.0)]) == 1.0
    assert slower(before, [trial("a", 4, 6.0)]) == 1.0
    assert slower([], [trial("a", 0, 6.0)]) == 1.0
    assert slower(before, []) == 1.0
    assert "as before" not in in_hours(1.0, 1.0, Known(before, [1.0]), 1)


def test_a_study_that_came_from_another_machine_is_timed_here(tmp_path: Path) -> None:
    said: list[str] = []
    study = small_study(tmp_path)
    Study(*study, tmp_path / "out", said.append).run(probe=True)
    assert "as before" not in said[-1]
    path = tmp_path / "out" / "trials.jsonl"
    rows = [json.loads(line) | {"seconds": 1e-4} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    Study(*study, tmp_path / "out", said.append).run(probe=True)
    assert "times as long here as before" in said[-1]
    now = [json.loads(line) for line in path.read_text().splitlines()]
    assert now[:2] == rows
    assert [(r["method"], r["number"]) for r in now[2:]] == [(rows[0]["method"], 2)]
    Study(*study, tmp_path / "out", said.append).run(probe=True)  # the next method's
    now = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r["number"] for r in now[3:]] == [0, 1]
