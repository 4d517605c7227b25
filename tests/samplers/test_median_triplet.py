import math

import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers.testing import chosen, expect_oracle, make_context, one_row


def test_law_median_deputy_is_the_lower_median() -> None:
    expect_oracle(
        make("median_triplet"),
        lambda row, s_pos, hardest_first: [hardest_first[math.ceil(len(hardest_first) / 2) - 1]],
    )


def test_law_median_deputy_is_torchs_lower_median_of_distances() -> None:
    for columns in (8, 9, 30):
        context = make_context(4, columns, ineligible=0.0)
        mask = make("median_triplet")(context).mask
        for row in range(4):
            distances = 1 - context.similarity[row][context.negative_mask[row]]
            mine = 1 - context.similarity[row][mask[row]]
            assert torch.equal(mine, distances.median()[None])


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_law_median_deputy_is_blind_to_increasing_transforms(variant: str) -> None:
    sampler = make("median_triplet", variant=variant)
    context = make_context(6, 30)
    moved = context.replace(similarity=torch.exp(3 * context.similarity) / 25)
    assert torch.equal(sampler(context).mask, sampler(moved).mask)


def test_law_smoothed_rank_is_ranks_two_to_ten() -> None:
    expect_oracle(
        make("median_triplet", variant="official"),
        lambda row, s_pos, hardest_first: hardest_first[1:10] or hardest_first[-1:],
    )
    context = make_context(4, 40)
    assert (make("median_triplet", variant="official")(context).mask.sum(dim=1) == 9).all()


def test_law_smoothed_rank_never_selects_a_planted_duplicate() -> None:
    plain = one_row([0.9, *(0.8 - 0.05 * i for i in range(14))])
    planted = one_row([0.9, *(0.8 - 0.05 * i for i in range(14)), 1.0])
    sampler = make("median_triplet", variant="official")
    assert chosen(sampler(plain).mask) == [set(range(2, 11))]
    assert chosen(sampler(planted).mask) == [set(range(1, 10))]  # one rank up, the duplicate out


def test_law_rank_k_deputy_ignores_fewer_than_k_duplicates() -> None:
    for k in (2, 3, 5):
        twins = [1.0] * (k - 1)
        context = one_row([0.9, *(0.8 - 0.05 * i for i in range(14)), *twins])
        sampler = make("median_triplet", variant="official", drop=k - 1, upto=k)
        assert chosen(sampler(context).mask) == [{1}]  # the hardest that is no duplicate


def test_law_rank_one_is_batch_hard_and_rank_n_the_easiest() -> None:
    context = make_context(5, 25)
    first = make("median_triplet", variant="official", drop=0, upto=1)
    assert torch.equal(first(context).mask, make("hard", k=1)(context).mask)
    last = make("median_triplet", variant="official", drop=10**6, upto=10**6 + 1)
    assert torch.equal(last(context).mask, make("easiest", k=1)(context).mask)


def test_median_triplet_pairs_with_the_objective_of_its_variant() -> None:
    for variant in ("paper", "official"):
        paired = make("median_triplet", variant=variant).objective  # type: ignore[attr-defined]
        assert paired == ("truncated_triplet", {"variant": variant})
