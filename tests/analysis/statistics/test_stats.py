import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from nsbench.analysis.statistics import stats

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(4, 5, 7)) + np.arange(4)[:, None, None]


def test_mean_and_iqm_by_hand():
    """Two seeds x four tasks: 1..8; the middle half is 3, 4, 5, 6 and its mean 4.5.

    With 100 for 8 the mean is (28 + 100) / 8 = 16, the IQM still 4.5.
    """
    scores = np.arange(1.0, 9.0).reshape(1, 2, 4)
    assert stats.iqm(scores)[0] == 4.5
    scores[0, 1, 3] = 100
    assert stats.mean(scores)[0] == 16
    assert stats.iqm(scores)[0] == 4.5


def test_a_seed_that_lacks_a_task_is_left_out_whole():
    scores = np.arange(1.0, 9.0).reshape(1, 2, 4)
    scores[0, 1, 3] = np.nan
    assert stats.mean(scores)[0] == 2.5
    assert stats.iqm(scores)[0] == 2.5
    assert np.isnan(stats.mean(np.full((1, 2, 4), np.nan))[0])


def test_no_tasks_no_mean():
    assert np.isnan(stats.mean(np.zeros((2, 3, 0)))).all()


def test_mean_interval_is_scipys_t_interval():
    interval = stats.mean_interval(SCORES)
    for row, means in enumerate(SCORES.mean(axis=2)):
        low, high = scipy_stats.t.interval(
            0.95, df=4, loc=means.mean(), scale=scipy_stats.sem(means)
        )
        assert interval.low[row] == pytest.approx(low)
        assert interval.high[row] == pytest.approx(high)


def test_mean_interval_by_hand():
    """Seeds 1, 2, 3: mean 2, deviation 1, error 1 / sqrt(3), t(0.975, 2) = 4.3027: 2 +- 2.4841."""
    interval = stats.mean_interval(np.array([1.0, 2, 3]).reshape(1, 3, 1))
    assert interval.high[0] == pytest.approx(2 + 4.302653 / np.sqrt(3))


@given(st.floats(-1e6, 1e6), st.integers(2, 12), st.integers(0, 3))
def test_values_that_are_all_the_same_have_no_spread(value, count, missing):
    values = np.array([value] * count + [np.nan] * missing)
    assert stats.spread(values) == 0
    assert stats.t_half_width(values, 0.95) == 0
    values[0] += 1
    assert stats.spread(values) == pytest.approx(np.nanstd(values, ddof=1))
    assert np.isnan(stats.spread(values[:1]))
    assert np.isnan(stats.spread(values[:0]))


def test_one_seed_has_no_interval():
    interval = stats.mean_interval(SCORES[:, :1])
    assert np.isnan(interval.low).all()
    assert not np.isnan(interval.estimate).any()


def test_bootstrap_mean_agrees_with_scipy():
    ours = stats.bootstrap_interval(
        SCORES[:1], over="seeds", seed=0, resamples=4000, expanded=False
    )
    theirs = scipy_stats.bootstrap(
        (SCORES[0].mean(axis=1),),
        np.mean,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    # Monte Carlo error of a quantile of 4,000 draws is about 2 % of the width.
    assert ours.low[0] == pytest.approx(theirs.low, abs=0.08 * width)
    assert ours.high[0] == pytest.approx(theirs.high, abs=0.08 * width)


@pytest.mark.parametrize("over", stats.OVER)
def test_the_seed_decides_the_interval(over):
    def ends(seed):
        interval = stats.bootstrap_interval(SCORES, over=over, seed=seed, resamples=50)
        return np.concatenate([interval.low, interval.high]).tolist()

    np.random.seed(1)  # noqa: NPY002 -- the global state must not matter
    first = ends(3)
    np.random.seed(2)  # noqa: NPY002
    assert ends(3) == first
    assert ends(4) != first


def test_expanded_is_wider_than_plain():
    luck = np.random.default_rng(5).normal(size=(1, 5, 1)) + np.zeros((1, 5, 7))

    def width(**settings):
        interval = stats.bootstrap_interval(luck, seed=0, resamples=500, **settings)
        return interval.high[0] - interval.low[0]

    assert width(over="seeds") > 1.2 * width(over="seeds", expanded=False)


def test_bootstrap_refuses_gaps_and_unknown_units():
    gaps = SCORES.copy()
    gaps[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="complete"):
        stats.bootstrap_interval(gaps, over="seeds", seed=0)
    with pytest.raises(ValueError, match="Known: seeds"):
        stats.bootstrap_interval(SCORES, over="runs", seed=0)
    with pytest.raises(ValueError, match="level"):
        stats.mean_interval(SCORES, level=95)
    with pytest.raises(ValueError, match="shape"):
        stats.mean(SCORES[0])


def test_probability_of_improvement_by_hand():
    """One task, a = (1, 3), b = (2, 3): pairs 1<2, 1<3, 3>2, 3=3: (0 + 0 + 1 + 0.5) / 4."""
    a, b = np.array([[1.0], [3.0]]), np.array([[2.0], [3.0]])
    assert stats.probability_of_improvement(a[None], b) == [0.375]


def test_probability_of_improvement_leaves_out_incomplete_seeds_of_each_method():
    """Against b = 2 alone: (1, 3) wins one of two, (gap, 3) all, gaps say nothing."""
    gap = float("nan")
    a = np.array([[[1.0], [3.0]], [[gap], [3.0]], [[gap], [gap]]])
    found = stats.probability_of_improvement(a, np.array([[2.0], [gap]]))
    np.testing.assert_array_equal(found, [0.5, 1.0, gap])
    assert np.isnan(stats.probability_of_improvement(a, np.array([[gap]]))).all()


def test_probability_of_improvement_is_mann_whitneys_u():
    a, b = SCORES[1], SCORES[0]
    per_task = [
        scipy_stats.mannwhitneyu(a[:, t], b[:, t]).statistic / 25 for t in range(a.shape[1])
    ]
    assert stats.probability_of_improvement(a[None], b) == pytest.approx([np.mean(per_task)])
