import math

import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers.testing import make_context


def by_formula(share: float, alpha: float, beta: float, prior: float, guard: float) -> float:
    """The released code's lines, one candidate at a time."""
    minus = 1 - prior
    a = (1 - 2 * alpha) * (minus - prior) + guard
    b = 2 * (alpha * minus + (1 - alpha) * prior)
    cdf = share / b if a == 0 else (-b + math.sqrt(max(b * b + 4 * a * share, 0))) / (2 * a)
    phi1, phi2 = 2 * (1 - cdf), 2 * cdf
    true = alpha * phi1 + (1 - alpha) * phi2
    false = (1 - alpha) * phi1 + alpha * phi2
    hard = alpha * (1 - beta) * phi1 + (1 - alpha) * beta * phi2
    hard /= alpha * (1 - beta) + (1 - alpha) * beta + guard
    return hard / (true * minus + false * prior)


@pytest.mark.parametrize("variant", ["official", "paper"])
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.5, 1.0), (0.7, 0.6), (0.9, 0.9)])
def test_rank_weighted_equals_nested_loops(alpha: float, beta: float, variant: str) -> None:
    sampler = make("rank_weighted", alpha=alpha, beta=beta, variant=variant)
    for seed in range(3):
        context = make_context(5, 14, needs=(), seed=seed)
        weight = sampler(context).log_weight
        for i in range(5):
            among = [j for j in range(14) if bool(context.negative_mask[i, j])]
            row = context.similarity[i].tolist()
            for j in among:
                share = sum(row[k] <= row[j] for k in among) / len(among)
                slow = by_formula(share, alpha, beta, 0.1, 1e-3 if variant == "official" else 0)
                assert math.isclose(math.exp(float(weight[i, j])), slow, rel_tol=2e-4, abs_tol=1e-5)


def test_law_bcl_without_concentration_is_info_nce() -> None:
    context = make_context(6, 40, needs=())
    paper = make("rank_weighted", alpha=0.5, beta=0.5, variant="paper")(context).log_weight
    torch.testing.assert_close(
        paper[context.negative_mask], torch.zeros(int(context.eligible.sum()))
    )
    official = make("rank_weighted", alpha=0.5, beta=0.5)(context).log_weight
    assert ((official[context.negative_mask].exp() - 0.998).abs() < 1e-3).all()


def test_law_bcl_by_default_weighs_linearly_by_rank() -> None:
    context = make_context(4, 60, needs=(), seed=3)
    weight = make("rank_weighted")(context).log_weight
    count = context.eligible
    linear = 2 * (count - context.ranks()) / count
    assert (weight.exp() - linear)[context.negative_mask].abs().max() < 0.006
    mean = weight.exp()[context.negative_mask].mean()
    assert abs(float(mean) - 1.03) < 0.02


def test_law_bcl_is_blind_to_monotone_changes_and_hcl_is_not() -> None:
    context = make_context(6, 40, needs=(), seed=5)
    bent = context.replace(similarity=torch.tanh(2 * context.similarity))
    for name, blind in (("rank_weighted", True), ("hard_reweighted", False)):
        one, two = (make(name)(c).log_weight for c in (context, bent))
        mask = context.negative_mask
        assert torch.allclose(one[mask], two[mask], atol=1e-6) == blind
