"""Metrics against hand-made pairs and labels."""

import math

import numpy as np
import pytest
from scipy import stats

from nsbench.benchmarks.evaluation.metrics import BLOCK, label_metrics, pair_metrics


def angles(degrees):
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1)


def test_pair_metrics_of_known_angles():
    # cosines 1, .5, 0, -1 against gold 3, 2, 1, 0: perfectly ranked, not perfectly linear
    first, second = angles([0, 0, 0, 0]), angles([0, 60, 90, 180])
    metrics, reason = pair_metrics(first, second, [3, 2, 1, 0])
    assert reason == ""
    assert metrics["cosine_spearman"] == pytest.approx(1)
    assert metrics["cosine_pearson"] == pytest.approx(
        np.corrcoef([3, 2, 1, 0], [1, 0.5, 0, -1])[0, 1]
    )
    assert metrics["spearman"] == metrics["cosine_spearman"]
    assert pair_metrics(first, second, [0, 1, 2, 3])[0]["cosine_spearman"] == pytest.approx(-1)


@pytest.mark.parametrize("rows", [2, 3, 17, 1500])
def test_correlations_are_those_of_scipy_to_the_bit(rows):
    rng = np.random.default_rng(rows)
    for digits in (0, 1, 9):  # many ties, some, none
        gold = np.round(3 * rng.normal(size=rows), digits) + 9.0 * (np.arange(rows) == 0)
        first = rng.normal(size=(rows, 6))
        second = np.round(first + gold[:, None] * rng.normal(size=(rows, 6)), 1)
        metrics, reason = pair_metrics(first, second, gold)
        assert reason == ""
        distance = -np.sqrt(np.square(first - second).sum(axis=1))
        assert metrics["euclidean_pearson"] == stats.pearsonr(gold, distance).statistic
        assert metrics["euclidean_spearman"] == stats.spearmanr(gold, distance).statistic


def test_pair_metrics_tell_lengths_apart_only_outside_the_cosine():
    first = np.array([[1.0, 0], [1.0, 0], [1.0, 0]])
    second = np.array([[1.0, 0.0], [4.0, 0.4], [2.0, 0.4]])  # angles 0, 5.7, 11.3 degrees
    metrics, _ = pair_metrics(first, second, [3, 2, 1])
    assert metrics["cosine_spearman"] == pytest.approx(1)
    # lengths of the gaps: 0, 3.03, 1.08
    assert metrics["euclidean_spearman"] == pytest.approx(0.5)
    assert metrics["manhattan_spearman"] == pytest.approx(0.5)


def test_pair_metrics_tie_equal_embeddings_exactly():
    rng = np.random.default_rng(0)
    same = rng.normal(size=(50, 48)).astype(np.float32)
    other = rng.normal(size=(50, 48)).astype(np.float32)
    gold = [1.0] * 50 + [0.0] * 50
    metrics, _ = pair_metrics(np.concatenate([same, same]), np.concatenate([same, other]), gold)
    # 50 exact ties on top; against a two-valued gold that is all Spearman can see
    top = np.r_[np.full(50, 75.5), np.arange(1, 51)]
    expected = np.corrcoef(np.r_[np.full(50, 75.5), np.full(50, 25.5)], top)[0, 1]
    assert metrics["cosine_spearman"] == pytest.approx(expected)


def test_pair_metrics_tie_embeddings_that_are_equal_but_for_rounding():
    rng = np.random.default_rng(2)
    words = rng.normal(size=(60, 30, 48)).astype(np.float32)
    first = words.sum(axis=1)
    second = words[:, ::-1].cumsum(axis=1)[:, -1]  # the same words, summed the other way round
    assert (first != second).any(axis=1).all()
    other = rng.normal(size=(60, 48)).astype(np.float32)
    gold = rng.permutation(120).tolist()
    noisy, _ = pair_metrics(np.r_[first, first], np.r_[second, other], gold)
    exact, _ = pair_metrics(np.r_[first, first], np.r_[first, other], gold)
    assert noisy["cosine_spearman"] == exact["cosine_spearman"]


def test_pair_metrics_do_not_depend_on_blocks():
    rng = np.random.default_rng(1)
    n = BLOCK + 37
    first, second = rng.normal(size=(2, n, 3))
    gold = np.asarray([a @ b for a, b in zip(first, second, strict=True)])
    metrics, _ = pair_metrics(first, second, gold)
    cosine = gold / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert metrics["cosine_pearson"] == pytest.approx(np.corrcoef(gold, cosine)[0, 1])


@pytest.mark.parametrize(
    ("first", "second", "gold", "reason"),
    [
        (angles([0, 0]), angles([5, 5]), [1, 2], "cosine: every pair has the same similarity"),
        (angles([0, 0]), angles([5, 9]), [2, 2], "cosine: every pair has the same gold score, 2"),
        (angles([0]), angles([5]), [2], "cosine: 1 pairs have no correlation"),
        (np.empty((0, 2)), np.empty((0, 2)), [], "cosine: 0 pairs have no correlation"),
    ],
)
def test_pair_metrics_without_a_correlation_are_nan_with_a_reason(first, second, gold, reason):
    metrics, why = pair_metrics(first, second, gold)
    assert math.isnan(metrics["cosine_spearman"])
    assert math.isnan(metrics["cosine_pearson"])
    assert why.startswith(reason)


def clusters(n, collapse=1.0, seed=0):
    """Three separated clusters, pushed towards one point by a small ``collapse``."""
    rng = np.random.default_rng(seed)
    labels = [i % 3 for i in range(n)]
    x = np.eye(8)[labels] + 0.1 * rng.normal(size=(n, 8))
    return 1.0 + collapse * x, labels


@pytest.mark.parametrize("collapse", [1.0, 1e-4])
def test_label_metrics_see_through_a_collapsed_space(collapse):
    train, train_labels = clusters(60, collapse)
    test, test_labels = clusters(30, collapse, seed=1)
    metrics, reason = label_metrics(train, train_labels, test, test_labels)
    assert metrics == {"accuracy": 1.0, "macro_f1": 1.0}
    assert reason == ""
    assert label_metrics(train, train_labels, test, test_labels)[0] == metrics


def test_label_metrics_count_an_unseen_label_as_missed():
    train, train_labels = clusters(60)
    test, test_labels = clusters(30, seed=1)
    test_labels[:3] = [9, 9, 9]
    metrics, _ = label_metrics(train, train_labels, test, test_labels)
    assert metrics["accuracy"] == pytest.approx(27 / 30)
    # labels 0, 1, 2 each: 9 found, 1 too many; label 9: nothing found
    assert metrics["macro_f1"] == pytest.approx((3 * (2 * 9 / (2 * 9 + 1)) + 0) / 4)


def test_label_metrics_of_one_label_are_nan_with_a_reason():
    train, _ = clusters(6)
    metrics, reason = label_metrics(train, [1] * 6, train, [1] * 6)
    assert math.isnan(metrics["accuracy"])
    assert reason == "1 kinds of labels to fit on and 6 texts to score"
