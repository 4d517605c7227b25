"""Plans fit their time and are read as they were written; lists and spreads in numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nsbench.analysis.recommend.arms import IN_BATCH, TEMPERATURES, short_list, with_temperatures
from nsbench.analysis.recommend.decide import too_little
from nsbench.analysis.recommend.plan import LADDER, Plan, make_plan, read_plan

FACTS = {"given_negatives": 0}
AUDIT = {"false_negatives": {"by_swaps": []}, "near_pairs": 0, "facts": FACTS}
ARMS = short_list(AUDIT)


def _plan(minutes: float, **changes: float) -> Plan:
    given = {"spent": 60.0, "per_step": 0.05, "per_score": 2.0} | changes
    return make_plan(ARMS, minutes=minutes, learning_rate=0.01, most_steps=10_000, **given)  # type: ignore[arg-type]


def test_a_plan_fits_its_time_and_uses_most_of_it() -> None:
    for minutes in (10, 20, 60, 240):
        plan = _plan(minutes)
        full, scores = plan.shape.steps_and_scores()
        cost = full * plan.steps * 0.05 + scores * 2.0
        assert cost <= 0.7 * (60 * minutes - 60)
        assert plan.steps == LADDER[-1] or cost >= 0.3 * 0.7 * (60 * minutes - 60)
        assert plan.steps in LADDER


def test_a_little_jitter_of_the_clock_changes_few_plans() -> None:
    shapes = {(_plan(20, per_step=0.05 * x).steps) for x in (0.99, 1.0, 1.01)}
    assert len(shapes) == 1


def test_too_short_a_time_is_refused_with_what_would_do() -> None:
    with pytest.raises(ValueError, match=r"--minutes 1 is too little here: .* about \d+ minutes"):
        _plan(1)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = replace(_plan(30), fresh=4, curves=False, raced=(1, 3))
    plan.write(tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert read_plan(tmp_path / "none.json") is None


def test_a_slow_race_leaves_fewer_fresh_seeds_and_no_curves() -> None:
    plan = _plan(20)
    assert plan.after_race(1200, (3, 0)).fresh == plan.shape.fresh
    assert plan.after_race(0, (3, 0)).fresh == 3
    assert plan.after_decision(1200).curves is plan.shape.curves
    assert plan.after_decision(0).curves is False
    wide = _plan(60)
    assert wide.before_last_rung(3600).temperatures
    assert wide.before_last_rung(0).temperatures is False


def test_more_time_opens_what_was_settled_for_want_of_it() -> None:
    plan = _plan(20).after_race(0, (1, 2)).after_decision(0)
    assert plan.settled
    longer = plan.longer(40)
    assert longer == replace(_plan(20), minutes=40)
    assert not longer.settled


def test_the_short_list_follows_the_audit() -> None:
    assert ARMS[0] == IN_BATCH
    names = [arm.name for arm in ARMS]
    assert len(names) == len(set(names))
    assert "guided" not in names
    shares = [{"low": 0.1, "share": 0.2, "high": 0.3}]
    more = {"by_swaps": shares}
    given = {"given_negatives": 7}
    found = short_list({"false_negatives": more, "near_pairs": 3, "facts": given}, "a/model")
    names = [arm.name for arm in found]
    assert {"guided", "debiased, 0.2", "text dedup"} <= set(names)
    assert {"given negatives alone", "mined by the guide, 4"} <= set(names[:3])
    at = with_temperatures(ARMS[:2])
    assert sorted({arm.temperature for arm in at}) == sorted(TEMPERATURES)
    assert len({arm.name for arm in at}) == 6


def test_pairs_that_would_do_scale_with_the_spread() -> None:
    gaps = np.tile([30.0, -30.0], 50)
    least, pairs = too_little(gaps, 100, 400, wanted=5.0)
    assert least == pytest.approx(2.8016 * 30.15 / 10, rel=0.01)
    assert pairs == pytest.approx(400 * (least / 5) ** 2, abs=10)
    assert too_little(np.zeros(3), 8, 30, wanted=5.0)[0] > 20  # few queries say little of a spread
    assert (
        too_little(np.zeros(0), 0, 1, wanted=5.0)[1] == too_little(np.zeros(0), 7, 28, wanted=5)[1]
    )
