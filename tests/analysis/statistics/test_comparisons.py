import itertools

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats as scipy_stats

from nsbench.analysis.statistics import comparisons
from nsbench.analysis.statistics.comparisons import AllPairs

RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(5, 6)) + np.arange(5)[:, None]


def pairs_of(values, different):
    """AllPairs from mean values and a list of pairs that differ."""
    m = len(values)
    mask = np.zeros((m, m), dtype=bool)
    for i, j in different:
        mask[i, j] = mask[j, i] = True
    v = np.array(values, dtype=float)
    return AllPairs(v[:, None] - v[None, :], np.where(mask, 0.01, 0.9), mask)


def test_paired_is_scipys_paired_t():
    ours = comparisons.paired(MEANS[1:], MEANS[:1])
    for row, means in enumerate(MEANS[1:]):
        theirs = scipy_stats.ttest_rel(means, MEANS[0])
        assert ours.p[row] == pytest.approx(theirs.pvalue)
        interval = theirs.confidence_interval(0.95)
        assert (ours.low[row], ours.high[row]) == pytest.approx((interval.low, interval.high))


def test_paired_uses_common_seeds_only():
    a = np.array([1.0, 2.0, np.nan, 4.0])
    b = np.array([0.0, np.nan, 5.0, 1.0])
    result = comparisons.paired(a, b)
    assert (result.n, result.difference) == (2, 2.0)  # 1 - 0 and 4 - 1


def test_paired_without_spread():
    same = comparisons.paired(np.ones(3), np.ones(3))
    apart = comparisons.paired(np.ones(3) + 1, np.ones(3))
    single = comparisons.paired(np.ones(1), np.zeros(1))
    assert (same.p, apart.p) == (1.0, 0.0)
    assert np.isnan(single.p)
    assert single.difference == 1


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.04 times 3, 2, 1: 0.03, 0.04, 0.04; NaN is no test."""
    p = comparisons.holm(np.array([0.04, 0.01, np.nan, 0.02]))
    assert p[:2] == pytest.approx([0.04, 0.03])
    assert np.isnan(p[2])
    assert p[3] == pytest.approx(0.04)


def test_all_pairs_are_paired_tests_corrected_by_holm():
    raw = np.array(
        [scipy_stats.ttest_rel(a, b).pvalue for a, b in itertools.combinations(MEANS, 2)]
    )
    ours = comparisons.all_pairs(MEANS)
    rows, columns = np.triu_indices(5, 1)
    assert ours.p[rows, columns] == pytest.approx(comparisons.holm(raw))
    assert np.array_equal(ours.p, ours.p.T, equal_nan=True)


def test_nemenyi_agrees_with_scikit_posthocs():
    scores = RNG.normal(size=(4, 9)) + np.arange(4)[:, None]
    theirs = scikit_posthocs.posthoc_nemenyi_friedman(scores.T).to_numpy()
    assert comparisons.nemenyi_p(scores) == pytest.approx(theirs)
    assert comparisons.friedman_p(scores) == scipy_stats.friedmanchisquare(*scores).pvalue


def test_nemenyi_by_hand():
    """Method 0 always best, 2 always worst over 10 tasks: ranks 1, 2, 3; standard error
    sqrt(3 * 4 / (6 * 10)) = 0.4472; q = 2 / 0.4472 * sqrt(2) for the outer pair."""
    scores = np.arange(3)[:, None] * 1.0 + np.arange(10)[None, :] * 10
    q = 2 / np.sqrt(12 / 60) * np.sqrt(2)
    expected = scipy_stats.studentized_range.sf(q, 3, np.inf)
    assert comparisons.nemenyi_p(scores)[0, 2] == pytest.approx(expected, rel=1e-3)


def test_rank_intervals_by_hand():
    """Values 3, 2, 1; only the outer two differ: ranks 1-2, 1-3, 2-3."""
    low, high = comparisons.rank_intervals(pairs_of([3, 2, 1], [(0, 2)]))
    assert low.tolist() == [1, 1, 2]
    assert high.tolist() == [2, 3, 3]


def test_letters_by_hand():
    groups = comparisons.letter_groups(pairs_of([3, 2, 1], [(0, 2)]), np.array([0, 1, 2]))
    assert groups == ["a", "ab", "b"]


@pytest.mark.parametrize("seed", range(5))
def test_letters_are_shared_only_by_pairs_without_a_significant_difference(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=12)
    different = [
        (i, j)
        for i, j in itertools.combinations(range(12), 2)
        if abs(values[i] - values[j]) > rng.uniform(0.3, 1.5)
    ]
    pairs = pairs_of(values, different)
    order = np.argsort(-values)
    groups = comparisons.letter_groups(pairs, order)
    for i, j in itertools.combinations(range(12), 2):
        shares = bool(set(groups[i]) & set(groups[j]))
        assert not (shares and pairs.different[i, j])
    for i, j in itertools.pairwise(order):  # neighbours: exactly then
        assert bool(set(groups[i]) & set(groups[j])) == (not pairs.different[i, j])


def test_letters_of_many_methods_are_quick():
    m = 200
    mask = np.random.default_rng(0).random((m, m)) < 0.5
    pairs = AllPairs(np.zeros((m, m)), np.zeros((m, m)), np.triu(mask, 1) | np.triu(mask, 1).T)
    assert len(comparisons.letter_groups(pairs, np.arange(m))) == m


@pytest.mark.parametrize(("n", "comparisons_"), [(5, 1), (5, 6), (3, 2), (20, 10)])
def test_smallest_detectable_has_the_power_it_says(n, comparisons_):
    effect = comparisons.smallest_detectable(1.0, n, comparisons=comparisons_)
    values = np.random.default_rng(0).normal(loc=effect, size=(20000, n))
    found = comparisons.paired(values, np.zeros(n)).p <= 0.05 / comparisons_
    # standard error of a share of 20,000 is 0.003; four of them
    assert found.mean() == pytest.approx(0.8, abs=0.012)


def test_smallest_detectable_is_scipys_noncentral_t():
    effect = comparisons.smallest_detectable(1.0, 10) * np.sqrt(10)
    quantile = scipy_stats.t.isf(0.025, 9)
    power = scipy_stats.nct.sf(quantile, 9, effect) + scipy_stats.nct.cdf(-quantile, 9, effect)
    assert power == pytest.approx(0.8, abs=1e-3)


def test_pooled_spread_is_the_residual_of_methods_by_seeds():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(6, 5)) + 10 * rng.normal(size=(1, 5)) + rng.normal(size=(6, 1))
    rows, columns = means.mean(1, keepdims=True), means.mean(0, keepdims=True)
    residual = means - rows - columns + means.mean()
    mean_square = (residual**2).sum() / (5 * 4)
    assert comparisons.pooled_spread(means) == pytest.approx(np.sqrt(2 * mean_square))
    short = means.copy()
    short[0, 1:] = np.nan  # one seed: no pair with it has a spread
    assert comparisons.pooled_spread(short) == pytest.approx(comparisons.pooled_spread(means[1:]))
    assert np.isnan(comparisons.pooled_spread(means[:1]))
