"""No two outputs of one comparison gainsay each other, and each is right where it can be known."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nsbench.analysis.statistics.letters import cliques
from nsbench.analysis.statistics.simultaneous import (
    claims_p,
    critical_scores,
    normal_score,
    t_value,
)
from nsbench.analysis.statistics.variances import variances
from nsbench.analysis.statistics.verdicts import Verdicts, judge, verdict_of


@st.composite
def groups(draw):
    """Means (M, S) with unequal noise, ties, gaps, collapsed methods; and each one's baseline."""
    size, seeds = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = rng.choice([0.0, 0.2, 1.0, 5.0], size=(size, 1))
    means = 60 + rng.choice([0.0, 0.3, 2.0, -20.0], size=(size, 1))
    means = means + spread * rng.standard_normal((size, seeds)) + rng.standard_normal(seeds)
    if draw(st.booleans()):
        means[rng.random(means.shape) < 0.3] = np.nan
    if draw(st.booleans()):
        means[-1] = means[0]
    bases = sorted(set(rng.integers(size, size=2).tolist()))
    reference = [i if i in bases else int(rng.choice(bases)) for i in range(size)]
    if draw(st.integers(0, 4)) == 0:
        reference = [None if r != i else r for i, r in enumerate(reference)]
    return means, reference, draw(st.sampled_from([0.1, 0.5, 3.0]))


@settings(max_examples=60)
@given(groups())
def test_interval_p_letters_ranks_and_verdicts_never_disagree(group):
    means, reference, margin = group
    v = judge(means, reference, margin=margin)
    size = len(means)
    verdict, letters, rank = v.verdict(), v.letters(), v.ranks()
    low, high = v.rank_intervals()
    for i in range(size):
        if np.isfinite(rank[i]):
            assert low[i] <= rank[i] <= high[i]
        for j in range(size):
            d, half, p = v.difference[i, j], v.half[i, j], v.p[i, j]
            if i == j or np.isnan(half):
                assert np.isnan(p)
                continue
            apart = d - half > 0 or d + half < 0
            assert (p <= v.alpha) == apart
            assert bool(set(letters[i]) & set(letters[j])) == (not apart)
            assert letters[i]
            assert letters[j]
            assert (rank[i] < rank[j]) == (d > 0) or abs(d) < 1e-6
            if apart:
                surely = (low[j], high[i]) if d > 0 else (low[i], high[j])
                assert surely[0] > 1
                assert surely[1] < np.isfinite(rank).sum()
        _verdict_follows(v, i, verdict[i], margin)


def _verdict_follows(v: Verdicts, i: int, verdict: str, margin: float) -> None:
    base = v.reference[i]
    if base == i:
        assert verdict == "baseline"
        return
    d, half = v.gap[i], v.gap_half[i]
    assert (verdict == "no verdict") == np.isnan(half)
    if np.isnan(half):
        return
    within = -margin < d - half and d + half < margin
    assert (verdict == "equivalent") == within
    assert (verdict == "better") == (d - half > 0 and not within)
    assert (verdict == "worse") == (d + half < 0 and not within)
    assert (v.more[i] != 0) == (verdict == "undecided")
    if verdict == "better":
        assert v.ranks()[i] < v.ranks()[base]
        assert v.p[i, base] <= v.alpha


@settings(max_examples=40)
@given(groups())
def test_under_three_common_seeds_nothing_is_claimed(group):
    means, reference, margin = group
    v = judge(means[:, :2], reference, margin=margin)
    assert np.isnan(v.half).all()
    assert np.isnan(v.p).all()
    assert set(v.letters()) == {""}
    assert set(v.verdict()) <= {"baseline", "no verdict"}


@settings(max_examples=40)
@given(groups())
@example((np.array([[60.0, 61, 62], [55.0, np.nan, np.nan]]), [0, 0], 0.5))
def test_a_method_that_lacks_seeds_is_ranked_by_the_seeds_it_shares(group):
    means, reference, margin = group
    v = judge(means, reference, margin=margin)
    for i, base in enumerate(reference):
        both = np.zeros(0) if base is None else (means[i] - means[base])
        both = both[~np.isnan(both)]
        if base == i or not len(both):
            continue
        assert v.gap[i] == pytest.approx(both.mean(), abs=1e-6)
        if both.mean() < -1e-6:
            assert v.ranks()[i] > v.ranks()[base]


@settings(max_examples=30)
@given(st.integers(3, 8), st.integers(2, 5), st.integers(0, 999), st.floats(-50, 50))
def test_what_a_seed_does_to_all_methods_changes_no_verdict(seeds, size, number, lift):
    rng = np.random.default_rng(number)
    means = 60 + rng.standard_normal((size, seeds))
    one = judge(means, [0] * size)
    two = judge(means + lift * rng.standard_normal(seeds), [0] * size)
    assert two.half == pytest.approx(one.half, rel=1e-6, nan_ok=True)
    assert two.verdict() == one.verdict()


def test_two_methods_alone_are_students_paired_t():
    rng = np.random.default_rng(3)
    means = 60 + rng.standard_normal((2, 5)) + 4 * rng.standard_normal(5)
    v = judge(means, [0, 0])
    test = scipy_stats.ttest_rel(means[1], means[0])
    low, high = test.confidence_interval()
    assert v.gap[1] - v.gap_half[1] == pytest.approx(low, rel=0.03)
    assert v.gap[1] + v.gap_half[1] == pytest.approx(high, rel=0.03)
    assert v.gap_p[1] == pytest.approx(test.pvalue, rel=0.05)


def test_the_family_of_baselines_is_dunnetts_and_that_of_pairs_is_tukeys_or_wider():
    size, df = 6, 40.0
    pair_df = np.full((size, size), 2 * df)
    both = critical_scores(np.eye(size), np.full(size, df), pair_df, np.zeros(size, np.int64))
    alone = critical_scores(np.eye(size), np.full(size, df), pair_df, np.full(size, -1))
    tukey = scipy_stats.studentized_range.ppf(0.95, size, 2 * df) / np.sqrt(2)
    assert t_value(alone.pairs, np.array(2 * df)) == pytest.approx(tukey, rel=0.03)
    rng = np.random.default_rng(0)
    dunnett = scipy_stats.dunnett  # of independent groups: its critical value by its interval
    groups_ = [rng.standard_normal(41) for _ in range(size)]
    interval = dunnett(*groups_[1:], control=groups_[0], rng=np.random.default_rng(0))
    ci = interval.confidence_interval(0.95)
    scale = np.sqrt(np.mean([g.var(ddof=1) for g in groups_])) * np.sqrt(2 / 41)
    theirs = float(ci.high[0] - (groups_[1].mean() - groups_[0].mean())) / scale
    assert theirs * 0.98 < t_value(both.baseline, np.array(2 * df)) < tukey
    assert both.pairs > alone.pairs  # the claims against the baseline take their share


@pytest.mark.parametrize("freedom", [2.0, 4.0, 16.0, 200.0])
def test_normal_scores_are_those_of_students_t(freedom):
    t = np.array([0.0, 0.7, 2.0, 4.0])
    exact = scipy_stats.norm.isf(scipy_stats.t.sf(t, freedom))
    assert normal_score(t, np.array(freedom)) == pytest.approx(exact, abs=0.03)
    again = t_value(normal_score(t, np.array(freedom)), np.array(freedom))
    assert again == pytest.approx(t, abs=1e-9)


def test_corrected_p_is_alpha_at_the_critical_score_and_falls_to_nothing():
    p = claims_p(np.array([0.0, 2.5, 3.0, 12.0]), 2.5, 0.05)
    assert p[0] == pytest.approx(1.0)
    assert p[1] == pytest.approx(0.05)
    assert (np.diff(p) < 0).all()
    assert 0 < p[3] < 1e-20


def test_a_collapsed_method_keeps_its_noise_to_itself():
    rng = np.random.default_rng(1)
    means = 60 + 0.3 * rng.standard_normal((12, 5)) + rng.standard_normal(5)
    loud = means.copy()
    loud[5] = 30 + 10 * rng.standard_normal(5)
    calm, noisy = judge(means, [0] * 12), judge(loud, [0] * 12)
    others = [i for i in range(1, 12) if i != 5]
    assert noisy.gap_half[others] == pytest.approx(calm.gap_half[others], rel=0.25)
    assert noisy.gap_half[5] > 10 * np.median(noisy.gap_half[others])


def test_moderation_draws_equal_variances_together_and_leaves_unequal_ones_apart():
    rng = np.random.default_rng(0)
    equal = rng.standard_normal((40, 4))
    found = variances(equal)
    assert np.log(found.value).std() < 0.5 * np.log(found.raw).std()
    unequal = equal * np.exp(1.5 * rng.standard_normal((40, 1)))
    apart = variances(unequal)
    assert apart.prior < found.prior / 3
    loud = apart.raw > np.quantile(apart.raw, 0.8)
    assert (apart.value[loud] > 0.6 * apart.raw[loud]).all()


def test_more_seeds_are_as_many_as_decide():
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((4, 5)) * 0.6
    v = judge(60 + noise, [0] * 4, margin=0.5)
    (row, *_) = [i for i, word in enumerate(v.verdict()) if word == "undecided"]
    seeds = 5 + v.more[row]
    copies = np.tile(noise - noise.mean(axis=1, keepdims=True), (1, seeds // 5 + 1))
    many = judge(60 + copies[:, :seeds] * np.sqrt(5 / 4), [0] * 4, margin=0.5)
    assert many.verdict()[row] != "undecided"
    assert verdict_of(0.25, 0.25, 0.5) == "undecided"
    assert verdict_of(0.25, 0.2499, 0.5) == "equivalent" or verdict_of(0.3, 0.25, 0.5) == "better"


def test_equal_methods_are_equal_and_raise_no_warning():
    v = judge(np.full((3, 4), 50.0), [0, 0, 0])
    assert v.verdict() == ["baseline", "equivalent", "equivalent"]
    assert v.letters() == ["a", "a", "a"]
    assert v.ranks().tolist() == [1, 1, 1]
    assert v.gap_p[1:].tolist() == [1, 1]


def test_bad_margins_and_levels_are_refused():
    for margin in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="margin must be"):
            judge(np.ones((2, 3)), [0, 0], margin=margin)
    with pytest.raises(ValueError, match="alpha must be"):
        judge(np.ones((2, 3)), [0, 0], alpha=1.0)


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.floats(0.1, 0.95))
def test_cliques_hold_every_pair_that_is_alike_and_no_other(size, number, share):
    alike = np.random.default_rng(number).random((size, size)) < share
    alike = alike & alike.T
    np.fill_diagonal(alike, True)
    sets = cliques(alike)
    shown = np.zeros_like(alike)
    for members in sets:
        shown[np.ix_(members, members)] = True
    assert (shown == alike).all()
    for one in sets:
        assert not any(set(one) < set(other) for other in sets)
