"""Laws of the gradient shares (methods: statistics), each on all rows of random batches."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.stats import norm, skew

from nsbench.benchmarks.difficulty.gradient import softmax_weights
from nsbench.benchmarks.difficulty.shares import (
    EDGES,
    HARDEST,
    SAME_EDGES,
    bin_names,
    gini,
    gradient_shares,
    same_by_percentile,
    same_names,
    share_name,
    skewness,
    weight_by_percentile,
)
from nsbench.benchmarks.difficulty.statistics import statistics
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers._contexts import make_context

TEMPERATURES = (0.01, 0.05, 0.5)


def random_case(temperature: float) -> tuple[SimilarityContext, Selection]:
    context = make_context(12, 60, needs=(), seed=4).replace(temperature=temperature)
    draw = torch.Generator().manual_seed(5)
    keep = torch.rand(context.similarity.shape, generator=draw) < 0.7
    return context, Selection(mask=context.negative_mask & keep)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_law_shares_do_not_fall_and_lie_above_the_diagonal(temperature: float) -> None:
    context, selection = random_case(temperature)
    weights = softmax_weights(context, selection)
    shares = gradient_shares(weights, context.similarity, selection.mask)
    assert (shares.diff(dim=0) >= -1e-9).all()
    wanted = torch.tensor(HARDEST)[:, None] / 100
    assert (shares >= wanted - 1e-6).all()
    assert (shares <= 1).all()


def test_law_everything_carries_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsbench.benchmarks.difficulty.shares.HARDEST", (100.0,))
    context, selection = random_case(0.05)
    weights = softmax_weights(context, selection)
    share = gradient_shares(weights, context.similarity, selection.mask)
    assert torch.allclose(share, torch.ones_like(share), atol=1e-6)


@pytest.mark.parametrize("n", [7, 50, 255])
def test_law_equal_weights_give_the_diagonal_and_no_inequality(n: int) -> None:
    similarity = torch.full((3, n), 0.4)
    mask = torch.ones_like(similarity, dtype=torch.bool)
    weights = torch.full_like(similarity, 1 / n)
    shares = gradient_shares(weights, similarity, mask)
    wanted = torch.tensor(HARDEST, dtype=torch.float64)[:, None].expand(-1, 3) / 100
    assert torch.allclose(shares, wanted, atol=1e-6)
    assert gini(weights, mask).abs().max() < 1e-5


def test_shares_equal_a_loop() -> None:
    context, selection = random_case(0.1)
    weights = softmax_weights(context, selection)
    shares = gradient_shares(weights, context.similarity, selection.mask)
    for i in range(len(weights)):
        columns = [j for j in range(weights.shape[1]) if selection.mask[i, j]]
        columns.sort(key=lambda j: -context.similarity[i, j].item())
        q = [weights[i, j].item() for j in columns]
        for x, percent in enumerate(HARDEST):
            whole, part = divmod(percent / 100 * len(q), 1)
            wanted = sum(q[: int(whole)]) + part * q[int(whole)]
            assert shares[x, i].item() == pytest.approx(wanted, abs=1e-6)
        pairs = sum(abs(a - b) for a in q for b in q) / (2 * len(q) * sum(q))
        assert gini(weights, selection.mask)[i].item() == pytest.approx(pairs, abs=1e-6)


def test_one_negative_that_carries_all() -> None:
    weights = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    similarity = torch.tensor([[0.1, 0.9, 0.2, 0.3]])
    mask = torch.ones_like(similarity, dtype=torch.bool)
    assert gradient_shares(weights, similarity, mask)[-1].item() == pytest.approx(1.0)
    assert gini(weights, mask).item() == pytest.approx(0.75)


def test_rows_without_a_choice_are_zero() -> None:
    nothing = torch.zeros(2, 5)
    mask = nothing > 0
    assert (gradient_shares(nothing, torch.rand(2, 5), mask) == 0).all()
    assert (gini(nothing, mask) == 0).all()


@pytest.mark.parametrize("ratio", [0.4, 0.8, 1.2])
def test_law_gaussian_oracle_of_shares_and_effective_negatives(ratio: float) -> None:
    """For s ~ N(mu, sigma^2), the share of the top x is Q(Q^-1(x) - sigma / tau).

    The perplexity is N exp(-sigma^2 / 2 tau^2).
    """
    generator = torch.Generator().manual_seed(6)
    n, sigma = 4096, 0.1
    similarity = 0.2 + sigma * torch.randn(200, n + 1, generator=generator)
    mask = torch.ones(200, n + 1, dtype=torch.bool)
    mask[:, 0] = False
    context = SimilarityContext(
        similarity=similarity,
        positive=torch.zeros(200, dtype=torch.int64),
        negative_mask=mask,
        temperature=sigma / ratio,
    )
    found = statistics(context, Selection(mask=mask))
    for percent, within in ((5.0, 0.015), (50.0, 0.01)):
        wanted = norm.sf(norm.isf(percent / 100) - ratio)
        share = found[share_name(percent)][0].item()
        assert share == pytest.approx(wanted, rel=within)
    wanted = n * math.exp(-(ratio**2) / 2)
    assert found["effective_negatives"][0].item() == pytest.approx(wanted, rel=0.015)
    assert found["sigma_over_temperature"][0].item() == pytest.approx(ratio, rel=0.01)


def test_weight_by_percentile_sums_to_one_and_agrees_with_the_share() -> None:
    context, _ = random_case(0.05)
    selection = Selection(mask=context.negative_mask)
    weights = softmax_weights(context, selection)
    percentile = (context.ranks() + 0.5) / context.eligible
    bins = weight_by_percentile(weights, percentile)
    assert torch.allclose(bins.sum(0), torch.ones(len(weights), dtype=torch.float64), atol=1e-6)
    half = EDGES.index(0.5)
    inside = (weights * (percentile < 0.5)).sum(1).double()
    assert torch.allclose(bins[:half].sum(0), inside, atol=1e-6)
    assert len(bin_names()) == len(bins)


def test_statistics_report_pull_margin_and_masks() -> None:
    similarity = torch.tensor([[0.8, 0.6, 0.7, 0.9], [0.1, 0.5, 0.3, 0.2]])
    mask = torch.tensor([[False, True, True, False], [False, False, True, True]])
    context = SimilarityContext(
        similarity=similarity,
        positive=torch.tensor([0, 1]),
        negative_mask=mask,
        temperature=0.1,
    )
    chosen = mask.clone()
    chosen[1, 2] = False
    found = statistics(context, Selection(mask=chosen))
    assert found["hardest_margin"][0].item() == pytest.approx((0.1 + 0.3) / 2, abs=1e-6)
    assert found["masked_count"][0].item() == 1
    assert found["left_count"][0].item() == 0.5
    first = math.exp(6) + math.exp(7)
    pulls = (first / (first + math.exp(8)), math.exp(2) / (math.exp(2) + math.exp(5)))
    assert found["negative_pull"][0].item() == pytest.approx(sum(pulls) / 2, abs=1e-5)


def test_skewness_equals_scipy_and_is_zero_where_nothing_differs() -> None:
    draw = torch.Generator().manual_seed(6)
    values = torch.rand(30, generator=draw).double() ** 3
    mask = torch.rand(30, generator=draw) < 0.6
    assert skewness(values).item() == pytest.approx(skew(values.numpy()))
    assert skewness(values, mask).item() == pytest.approx(skew(values[mask].numpy()))
    assert skewness(torch.full((9,), 3.0)).item() == 0
    assert skewness(values, torch.zeros_like(mask)).item() == 0


def test_law_hubness_of_random_choices_is_that_of_a_binomial() -> None:
    """Random choices make no hubs; one column that all anchors choose is the greatest of hubs.

    A column is chosen by each of n anchors with p = k / N: skewness (1 - 2p) / sqrt(n p (1 - p)).
    The standard error of a sample skewness is about sqrt(6 / N); four of them are allowed.
    """
    n, width, k = 200, 400, 20
    draw = torch.Generator().manual_seed(7)
    taken = torch.zeros(n, width).scatter_(
        1, torch.rand(n, width, generator=draw).topk(k).indices, 1
    )
    p = k / width
    wanted = (1 - 2 * p) / math.sqrt(n * p * (1 - p))
    assert abs(skewness(taken.sum(dim=0)).item() - wanted) < 4 * math.sqrt(6 / width)
    assert skewness(torch.cat([torch.zeros(399), torch.full((1,), 200.0)])).item() > 19


def test_same_meanings_by_percentile_equal_a_loop() -> None:
    context, _ = random_case(0.05)
    draw = torch.Generator().manual_seed(8)
    same = torch.rand(context.similarity.shape, generator=draw) < 0.3
    percentile = (context.ranks() + 0.5) / context.eligible
    rates, counts = same_by_percentile(same, context.negative_mask, percentile)
    for place, (low, high) in enumerate(pairwise(SAME_EDGES)):
        inside = [
            bool(same[i, j])
            for i in range(same.shape[0])
            for j in range(same.shape[1])
            if context.negative_mask[i, j] and low <= percentile[i, j] < high
        ]
        assert counts[place].item() == len(inside)
        if inside:
            assert rates[place].item() == pytest.approx(sum(inside) / len(inside))
        else:
            assert math.isnan(rates[place].item())
    assert len(same_names()) == len(rates)
    found = statistics(context.replace(truth=same), Selection(mask=context.negative_mask))
    assert found["same_meaning_5_10"][0].item() == pytest.approx(rates[3].item())
    assert found["same_meaning_0_0.1"][-1].item() == 0
