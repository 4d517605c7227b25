import itertools

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats as scipy_stats

from nsbench.analysis.statistics import comparisons

RNG = np.random.default_rng(0)
MEANS = RNG.normal(size=(5, 6)) + np.arange(5)[:, None]


def different_of(size, pairs):
    """A symmetric mask of pairs that differ."""
    out = np.zeros((size, size), dtype=bool)
    for i, j in pairs:
        out[i, j] = out[j, i] = True
    return out


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


def test_runs_by_hand():
    runs = comparisons.letter_runs(different_of(3, [(0, 2)]), np.array([0, 1, 2]))
    assert runs == [[0], [0, 1], [1]]


@pytest.mark.parametrize("seed", range(5))
def test_runs_are_shared_only_by_pairs_without_a_significant_difference(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=12)
    different = different_of(
        12,
        [
            (i, j)
            for i, j in itertools.combinations(range(12), 2)
            if abs(values[i] - values[j]) > rng.uniform(0.3, 1.5)
        ],
    )
    order = np.argsort(-values)
    runs = comparisons.letter_runs(different, order)
    for i, j in itertools.combinations(range(12), 2):
        shares = bool(set(runs[i]) & set(runs[j]))
        assert not (shares and different[i, j])
    for i, j in itertools.pairwise(order):  # neighbours: exactly then
        assert bool(set(runs[i]) & set(runs[j])) == (not different[i, j])


def test_runs_of_many_methods_are_quick():
    m = 200
    mask = np.random.default_rng(0).random((m, m)) < 0.5
    assert len(comparisons.letter_runs(np.triu(mask, 1) | np.triu(mask, 1).T, np.arange(m))) == m
