import pytest

from tools.calibration import DESIGNS, Design, coverage, detectable, verdict_shares


@pytest.mark.parametrize("name", ["7 methods, 5 seeds", "very unequal noise", "3 seeds"])
def test_false_verdicts_are_at_the_nominal_level(name):
    shares = verdict_shares(DESIGNS[name], repetitions=200, seed=0)
    # Nominal 5 %; the standard error over 200 matrices is 1.5 %.
    assert shares["false, baseline"] <= 0.05 + 0.03
    assert shares["false, any"] <= 0.05 + 0.03
    assert shares["equivalent at the margin"] <= 0.05 + 0.03
    assert shares["covers, each"] >= 0.95
    assert shares["false, uncorrected"] > 0.1  # the simulation can tell a bad test from a good one
    assert shares["power"] > shares["power, Holm"]


def test_intervals_cover_what_they_say():
    shares = coverage(Design(), repetitions=200, seed=0)
    assert 0.93 <= shares["t"] <= 0.97
    assert shares["plain bootstrap"] < 0.9


SHORT = pytest.mark.xfail(reason="the leaderboard's figure is 13 % too small with three seeds")


@pytest.mark.parametrize("seeds", [pytest.param(3, marks=SHORT), 5])
def test_smallest_detectable_is_right_to_within_a_fifth(seeds):
    answer = detectable(Design(seeds=seeds, unequal=0.0), repetitions=600, seed=0)
    assert answer["reported"] == pytest.approx(answer["true"], rel=0.1)
    assert answer["within_20"] > answer["within_20_unpooled"] + 0.05


def test_with_twenty_methods_nearly_every_matrix_reports_it_right():
    answer = detectable(Design(methods=20, unequal=0.0), repetitions=300, seed=0)
    assert answer["within_20"] >= 0.95  # 76 degrees of freedom: a spread is within 8 % or so


def test_the_seed_decides_the_simulation():
    first = verdict_shares(Design(), repetitions=8, seed=0)
    assert verdict_shares(Design(), repetitions=8, seed=0) == first
    assert verdict_shares(Design(), repetitions=8, seed=1) != first
