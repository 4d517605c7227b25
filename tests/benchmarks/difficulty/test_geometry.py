"""Geometry against values that can be derived by hand (laws of alignment, uniformity, rank)."""

import math

import numpy as np
import pytest

from nsbench.benchmarks.difficulty.geometry import (
    alignment,
    anisotropy,
    geometry_scores,
    mean_norm,
    sample,
    similarity_counts,
    spectrum,
    spread,
    uniformity,
    unit,
)


def sphere(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_identical_points_have_uniformity_zero_and_fill_one_direction():
    z = np.tile([0.3, -0.4, 0.1], (50, 1))
    assert uniformity(z) == pytest.approx(0, abs=1e-12)
    assert anisotropy(z) == pytest.approx(1)
    assert mean_norm(z) == pytest.approx(1)
    assert spectrum(z) == {"effective_rank": 1.0, "participation_ratio": 1.0, "top1_share": 1.0}


@pytest.mark.parametrize("d", [128, 768])
def test_uniformity_of_an_even_sphere(d):
    # exp(-4 + 4c) with E c = 0, E c^2 = 1/d gives log of the mean = -4 + 8/d + O(1/d^2)
    assert uniformity(sphere(1500, d)) == pytest.approx(-4 + 8 / d, abs=0.01)


def test_uniformity_and_anisotropy_are_loops_over_distinct_pairs():
    z = unit(sphere(9, 4))
    pairs = [(i, j) for i in range(9) for j in range(9) if i < j]
    potential = [math.exp(-2 * float(((z[i] - z[j]) ** 2).sum())) for i, j in pairs]
    assert uniformity(z) == pytest.approx(math.log(sum(potential) / len(pairs)))
    cosine = [float(z[i] @ z[j]) for i, j in pairs]
    assert anisotropy(z) == pytest.approx(sum(cosine) / len(pairs))


def test_uniformity_is_never_positive():
    for seed in range(20):
        assert uniformity(sphere(5, 3, seed)) <= 0


def test_alignment_lies_between_0_and_4():
    z = sphere(40, 6)
    assert alignment(z, z) == 0
    assert alignment(z, -z) == pytest.approx(4)
    assert alignment(z, 7 * z) == pytest.approx(0)  # only directions count
    assert 0 < alignment(z, sphere(40, 6, seed=1)) < 4
    # orthogonal unit vectors: |a - b|^2 = 2
    assert alignment([[1.0, 0.0]], [[0.0, 5.0]]) == pytest.approx(2)


def test_alignment_refuses_what_is_not_pairs():
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 2\)"):
        alignment(np.ones((3, 2)), np.ones((2, 2)))


@pytest.mark.parametrize(("n", "d"), [(3, 8), (200, 8), (8, 200), (2, 2)])
def test_rank_measures_lie_between_1_and_min_n_d(n, d):
    values = spectrum(sphere(n, d))
    for name in ("effective_rank", "participation_ratio"):
        assert 1 - 1e-9 <= values[name] <= min(n, d) + 1e-9
    assert 0 < values["top1_share"] <= 1 + 1e-12


def test_spectrum_of_points_on_a_line_and_on_a_cross():
    line = np.array([[1.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0]])
    assert spectrum(line) == pytest.approx(
        {"effective_rank": 1, "participation_ratio": 1, "top1_share": 1}
    )
    # three orthogonal axes, both ways: three equal singular values
    cross = np.concatenate([np.eye(3), -np.eye(3)])
    assert spectrum(cross) == pytest.approx(
        {"effective_rank": 3, "participation_ratio": 3, "top1_share": 1 / 3}
    )


def test_mean_norm_squared_is_the_mean_cosine_with_the_diagonal():
    z = sphere(30, 5) + 1.0
    n = 30
    with_diagonal = (anisotropy(z) * n * (n - 1) + n) / n**2
    assert mean_norm(z) ** 2 == pytest.approx(with_diagonal)


def test_everything_ignores_the_lengths_of_vectors():
    z = sphere(60, 7)
    scaled = z * np.random.default_rng(3).uniform(0.1, 10, size=(60, 1))
    assert spread(z) == pytest.approx(spread(scaled))


def test_too_few_rows_give_nan():
    one = np.ones((1, 3))
    assert math.isnan(uniformity(one))
    assert math.isnan(anisotropy(one))
    none = np.ones((0, 3))
    assert math.isnan(alignment(none, none))
    assert all(math.isnan(v) for v in spread(none).values())


def test_tiny_and_huge_vectors_keep_their_direction():
    z = unit(np.array([[3e-200, 4e-200], [3e200, 4e200], [0.0, 0.0]]))
    assert z == pytest.approx(np.array([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]]))


def test_unit_refuses_nan_and_wrong_shapes():
    with pytest.raises(ValueError, match="1 of 2 embeddings hold a value that is not finite"):
        unit(np.array([[1.0, float("nan")], [1.0, 1.0]]))
    with pytest.raises(ValueError, match=r"shape \(n, d\), got \(3,\)"):
        unit(np.ones(3))


def test_sample_depends_on_the_texts_alone():
    texts = [f"sentence {i % 70}" for i in range(200)]
    chosen = [texts[i] for i in sample(texts, limit=20)]
    assert len(set(chosen)) == 20
    assert [texts[::-1][i] for i in sample(texts[::-1], limit=20)] == chosen
    assert len(sample(texts)) == 70
    other = [f"other {i}" for i in range(200)]
    assert sample(other, limit=20) != sample(texts, limit=20)


def test_geometry_scores_record_what_they_were_computed_on():
    z = sphere(12, 4)
    rows = geometry_scores(z, z[:5], z[5:10], split="test", subset="planted-sts")
    assert {r.metric for r in rows} == {
        "alignment",
        "anisotropy",
        "effective_rank",
        "mean_norm",
        "participation_ratio",
        "top1_share",
        "uniformity",
    }
    assert {r.task for r in rows} == {"geometry"}
    assert {r.n_examples for r in rows if r.metric == "alignment"} == {5}
    assert {r.n_examples for r in rows if r.metric != "alignment"} == {12}
    assert not any(r.main for r in rows)


def test_similarity_counts_hold_every_pair_once():
    z = sphere(700, 5)  # more rows than one block
    directions = z / np.linalg.norm(z, axis=1, keepdims=True)
    row, column = np.triu_indices(700, k=1)
    wanted, _ = np.histogram((directions @ directions.T)[row, column], bins=80, range=(-1, 1))
    assert similarity_counts(z) == wanted.tolist()
    assert similarity_counts(np.ones((3, 2)))[-1] == 3, "equal rows are in the last bin"
