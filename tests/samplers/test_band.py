import itertools
import math
from fractions import Fraction

import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers._bands import boundary
from nsbench.samplers.testing import expect_oracle, make_context

SHARES = (0.0, 0.001, 0.05, 0.07, 0.1, 0.25, 0.29, 0.5, 0.57, 0.95, 1.0)


def test_band_keeps_its_share_of_the_ranking() -> None:
    for low, high in ((0.0, 0.05), (0.05, 0.5), (0.5, 1.0), (0.3, 0.4)):

        def rule(
            row: list[float], s_pos: float, hardest_first: list[int], low: float = low, high=high
        ) -> list[int]:
            n = len(hardest_first)
            start, stop = (math.ceil(Fraction(str(x)) * n) for x in (low, high))
            return hardest_first[start:stop]

        expect_oracle(make("band", low=low, high=high), rule)


def test_boundary_is_not_moved_by_float_error() -> None:
    for share in SHARES:
        for n in range(0, 3000, 7):
            exact = math.ceil(Fraction(str(share)) * n)
            assert boundary(share, torch.tensor([[n]])).item() == exact
            assert boundary(torch.tensor(share), torch.tensor([[n]])).item() == exact


def test_law_cid_keeping_everything_is_the_baseline() -> None:
    context = make_context(6, 30)
    assert torch.equal(make("band", low=0.0, high=1.0)(context).mask, context.negative_mask)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.1, 0.25, 0.5])
def test_law_cid_keep_and_drop_partition_the_negatives(share: float) -> None:
    context = make_context(6, 60)
    kept = make("band", high=share)(context).mask
    left = make("drop_band", high=share)(context).mask
    assert torch.equal(kept ^ left, context.negative_mask)
    assert not (kept & left).any()


def test_law_cid_realised_counts_are_rounded_up() -> None:
    for seed in range(4):
        context = make_context(6, 60, seed=seed, ineligible=0.3)
        for share in (0.001, 0.05, 0.07, 0.1, 0.5):
            kept = make("band", high=share)(context).mask.sum(dim=1).tolist()
            for n, count in zip(context.eligible.flatten().tolist(), kept, strict=True):
                assert count == math.ceil(Fraction(str(share)) * n)


def test_law_percentile_bands_partition_the_row() -> None:
    context = make_context(6, 43)
    ends = (0.0, 0.05, 0.1, 0.37, 0.5, 0.9, 1.0)
    total = sum(
        make("band", low=a, high=b)(context).mask.long() for a, b in itertools.pairwise(ends)
    )
    assert torch.equal(total, context.negative_mask.long())
