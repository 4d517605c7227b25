import math
from typing import Any

import pytest
import torch

from nsbench.samplers import SimilarityContext, make
from nsbench.samplers.testing import chosen, make_context, one_row, permute_rows


def row_at(distances: list[float]) -> SimilarityContext:
    """One anchor with candidates at given Euclidean distances behind a positive."""
    return one_row([0.95, *(1 - d * d / 2 for d in distances)])


def probabilities(sampler: Any, context: SimilarityContext) -> torch.Tensor:
    return torch.softmax(sampler.log_weight(context), dim=1)


def test_distance_weighted_equals_the_formula_in_loops() -> None:
    sampler: Any = make("distance_weighted", dimensions=10)
    context = make_context(5, 12, needs=())
    fast = probabilities(sampler, context)
    for i in range(5):
        weights = []
        for j in range(12):
            d = math.sqrt(max(0.0, 2 - 2 * context.similarity[i, j].item()))
            inside = bool(context.negative_mask[i, j]) and d < 1.4
            d = max(d, 0.5)
            density = d**8 * (1 - d * d / 4) ** 3.5
            weights.append(1 / density if inside else 0.0)
        if sum(weights) == 0:
            continue
        slow = torch.tensor([w / sum(weights) for w in weights])
        torch.testing.assert_close(fast[i], slow, rtol=1e-3, atol=1e-6)


def test_law_distance_weighted_probabilities_sum_to_one_and_spare_the_far() -> None:
    sampler: Any = make("distance_weighted", dimensions=8)
    for seed in range(4):
        context = make_context(6, 40, needs=(), seed=seed)
        p = probabilities(sampler, context)
        torch.testing.assert_close(p.sum(dim=1), torch.ones(6))
        distance = (2 - 2 * context.similarity).sqrt()
        inside = context.negative_mask & (distance < 1.4)
        rows = inside.any(dim=1)
        assert (p[rows][~inside[rows]] == 0).all()
        assert (p.gather(1, context.positive[:, None]) == 0).all()


def test_law_distance_weighted_is_finite_at_768_dimensions() -> None:
    sampler: Any = make("distance_weighted", dimensions=768)
    log = sampler.log_weight(row_at([0.01, 0.5, 0.9, 1.1, 1.39]))[0, 1:]
    assert torch.isfinite(log).all()
    assert log.max() == 0
    gap = sampler.log_weight(row_at([1.0, 1.05]))[0, 1:]
    assert (gap[0] - gap[1]).item() == pytest.approx(24, abs=1)
    gap = sampler.log_weight(row_at([0.8, 1.2]))[0, 1:]
    assert (gap[0] - gap[1]).item() == pytest.approx(207, abs=1)


def test_law_distance_weighted_falls_with_distance() -> None:
    for d in (4, 8, 128, 768):
        sampler: Any = make("distance_weighted", dimensions=d)
        log = sampler.log_weight(row_at([0.5 + 0.05 * i for i in range(18)]))[0, 1:]
        assert (log.diff() < 0).all()


def test_law_distance_weighted_treats_the_near_alike() -> None:
    sampler: Any = make("distance_weighted")
    log = sampler.log_weight(row_at([0.05, 0.2, 0.45, 0.6]))[0, 1:]
    assert log[0] == log[1] == log[2] > log[3]


def test_distance_weighted_draws_by_its_probabilities() -> None:
    # 20000 draws of one: a count is Binomial(20000, p), standard deviation at most 71.
    sampler: Any = make("distance_weighted", dimensions=6)
    context = row_at([0.4, 0.8, 1.0, 1.2, 1.5])
    many = permute_rows(context, torch.zeros(20000, dtype=torch.int64))
    many = many.replace(generator=torch.Generator().manual_seed(0))
    mask = sampler(many).mask
    assert (mask.sum(dim=1) == 1).all()
    expected = 20000 * probabilities(sampler, context)[0]
    assert (mask.sum(dim=0) - expected).abs().max() < 6 * 71


def test_distance_weighted_draws_uniformly_when_all_are_far() -> None:
    context = row_at([1.5, 1.6, 1.9, 2.0])
    seen = set()
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        seen |= chosen(make("distance_weighted")(context.replace(generator=generator)).mask)[0]
    assert seen == {1, 2, 3, 4}


def test_agreement_distance_weighted_with_pytorch_metric_learning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    utils = pytest.importorskip("pytorch_metric_learning.utils.loss_and_miner_utils")
    caught: dict[str, torch.Tensor] = {}

    def catch(labels: Any, ref_labels: Any = None, weights: Any = None) -> Any:
        caught["weights"] = weights
        return (torch.zeros(0, dtype=torch.int64),) * 3

    monkeypatch.setattr(utils, "get_random_triplet_indices", catch)
    context = make_context(10, layout="both", dimensions=16, ineligible=0.0, needs=("anchors",))
    miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)(
        context.anchors, torch.arange(10).repeat(2)
    )
    sampler: Any = make("distance_weighted", dimensions=16)
    inside = (sampler.log_weight(context) > -torch.inf) & ((2 - 2 * context.similarity) < 1.4**2)
    rows = inside.any(dim=1)  # theirs is NaN in a row where nothing is near
    assert rows.any()
    torch.testing.assert_close(
        probabilities(sampler, context)[rows], caught["weights"][rows], rtol=1e-4, atol=1e-5
    )
