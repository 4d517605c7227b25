"""Differences by query: paired tests, seeds as a second sample, intervals that hold at once."""

import numpy as np
import pytest
from scipy import stats

from nsbench.analysis.statistics.by_query import LEAST_QUERIES, by_query


def test_two_methods_and_one_seed_are_students_paired_test() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=200)  # queries that are hard for both
    values = np.stack([hard + rng.normal(size=200), hard + 0.25 + rng.normal(size=200)])
    found = by_query(values[:, None, :], [0, 0])
    gaps = values[1] - values[0]
    assert found.difference[1] == pytest.approx(gaps.mean())
    error = gaps.std(ddof=1) / np.sqrt(200)
    # 1.97 is Student's; the bootstrap of 5,000 draws misses its quantile by 0.1 at most
    assert found.half[1] == pytest.approx(1.97 * error, abs=0.1 * error)
    assert found.p[1] == pytest.approx(stats.ttest_rel(values[1], values[0]).pvalue, abs=0.02)
    assert found.higher[1] == (gaps > 0).mean()
    assert found.lower[1] == (gaps < 0).mean()
    assert np.isnan(found.difference[0])
    assert np.isnan(found.half[0])


def crossed(rng: np.random.Generator, of_queries: float, of_seeds: float) -> np.ndarray:
    """Five methods without a difference, 4 seeds and 60 queries, both of which matter."""
    return np.asarray(
        rng.normal(size=(1, 1, 60))
        + of_queries * rng.normal(size=(5, 1, 60))
        + of_seeds * rng.normal(size=(5, 4, 1))
        + rng.normal(size=(5, 4, 60))
    )


@pytest.mark.parametrize(("of_queries", "of_seeds"), [(1.0, 0.0), (0.0, 0.3), (1.0, 0.3)])
def test_all_intervals_of_a_table_hold_at_once(of_queries: float, of_seeds: float) -> None:
    missed = 0
    for number in range(100):
        values = crossed(np.random.default_rng([7, number]), of_queries, of_seeds)
        found = by_query(values, [0] * 5)
        missed += bool((np.abs(found.difference) > found.half).any())
    assert missed <= 11  # 5 of 100 expected, and 11 in one of 100 such tests


def test_seeds_that_differ_widen_an_interval_that_queries_alone_would_make_narrow() -> None:
    values = crossed(np.random.default_rng(3), 0.0, 1.0)
    of_both = by_query(values, [0] * 5).half[1:]
    of_queries = by_query(values.mean(axis=1, keepdims=True), [0] * 5).half[1:]
    assert (of_both > 1.5 * of_queries).all()


def test_only_shared_seeds_are_compared() -> None:
    values = crossed(np.random.default_rng(5), 1.0, 0.0)[:3]
    values[1, 2:] = np.nan
    values[2] = np.nan
    found = by_query(values, [0, 0, 0])
    assert found.seeds.tolist() == [0, 2, 0]
    assert found.difference[1] == pytest.approx((values[1, :2] - values[0, :2]).mean())
    assert np.isnan(found.difference[2])
    assert np.isnan(found.mean[2])


def test_equal_methods_do_not_differ_and_few_queries_give_no_interval() -> None:
    same = np.repeat(np.random.default_rng(1).random((1, 2, 40)), 2, axis=0)
    found = by_query(same, [0, 0])
    assert (found.difference[1], found.half[1], found.p[1]) == (0, 0, 1)
    apart = same.copy()
    apart[1] += 0.5
    found = by_query(apart, [0, 0])
    assert (found.difference[1], found.half[1]) == pytest.approx((0.5, 0.0))
    assert found.p[1] < 0.001
    few = by_query(crossed(np.random.default_rng(2), 1.0, 0.0)[:, :, : LEAST_QUERIES - 1], [0] * 5)
    assert np.isfinite(few.difference[1:]).all()
    assert np.isnan(few.half).all()
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 1"):
        by_query(same, [0, 0], alpha=1)
