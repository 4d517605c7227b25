"""Balanced draws: bins as in plain loops, every filled bin equally likely."""

from typing import Any

import pytest
import torch

from nsbench.samplers import SimilarityContext, make
from nsbench.samplers.testing import make_context

NEEDS = ("guide_similarity", "own_negative")


def bins_of(context: SimilarityContext, row: int, bins: int, allowed: list[int]) -> list[list[int]]:
    guide = context.require("guide_similarity")[row]
    margins = {j: float(guide[context.positive[row]] - guide[j]) for j in allowed}
    low, high = min(margins.values()), max(margins.values())
    out: list[list[int]] = [[] for _ in range(bins)]
    for j, margin in margins.items():
        out[min(bins - 1, int((margin - low) / max(high - low, 1e-6) * bins))].append(j)
    return out


@pytest.mark.parametrize("bins", [1, 4, 10])
def test_balanced_counts_bins_of_equal_width(bins: int) -> None:
    sampler: Any = make("balanced", bins=bins)
    for seed in range(3):
        context = make_context(5, 40, needs=NEEDS, seed=seed)
        crowd = sampler.crowd(context, context.negative_mask)
        for row in range(5):
            allowed = [int(j) for j in context.negative_mask[row].nonzero()]
            for members in bins_of(context, row, bins, allowed):
                for j in members:
                    assert crowd[row, j] == len(members)


def test_balanced_draws_every_filled_bin_equally_often() -> None:
    context = make_context(1, 40, needs=NEEDS, seed=5)
    allowed = [int(j) for j in context.negative_mask[0].nonzero()]
    filled = [m for m in bins_of(context, 0, 6, allowed) if m]
    sampler = make("balanced", k=1, bins=6)
    counts = torch.zeros(40)
    for _ in range(3000):
        counts += sampler(context).mask[0]
    assert counts.sum() == 3000
    for members in filled:
        share = float(counts[members].sum()) / 3000
        assert share == pytest.approx(1 / len(filled), abs=0.035)


def test_law_one_bin_draws_as_random_does() -> None:
    for seed in range(4):
        context = make_context(5, 30, needs=NEEDS, seed=seed)
        again = make_context(5, 30, needs=NEEDS, seed=seed)
        one, plain = make("balanced", bins=1, k=4)(context), make("random", k=4)(again)
        assert one.mask.sum(dim=1).tolist() == plain.mask.sum(dim=1).tolist()
    small = make_context(1, 12, needs=NEEDS, seed=9)
    counts = sum(make("balanced", bins=1, k=2)(small).mask[0].float() for _ in range(2000))
    assert isinstance(counts, torch.Tensor)
    drawn = counts[small.negative_mask[0]]
    assert float(drawn.std() / drawn.mean()) < 0.12


def test_balanced_among_own_draws_own_ones_only() -> None:
    for seed in range(4):
        context = make_context(6, 40, needs=NEEDS, seed=seed)
        own = context.require("own_negative") & context.negative_mask
        mask = make("balanced", among="own", k=3)(context).mask
        assert not (mask & ~own).any()
        assert mask.sum(dim=1).tolist() == own.sum(dim=1).clamp(max=3).tolist()


def test_topic_with_balanced_is_tas_b() -> None:
    made: Any = make("topic", then="balanced[k=2]")
    assert made.stochastic
    assert made.needs == {"guide_similarity"}
    assert made.batcher[0] == "topic"
