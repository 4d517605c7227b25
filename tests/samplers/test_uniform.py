import torch

from nsbench.samplers import make
from nsbench.samplers.testing import make_context, permute_rows


def test_random_keeps_k_of_the_eligible_or_all_of_fewer() -> None:
    for seed in range(6):
        context = make_context(5, 12, seed=seed, ineligible=0.5)
        kept = make("random", k=4)(context).mask.sum(dim=1)
        for row in range(5):
            assert kept[row] == min(4, int(context.negative_mask[row].sum()))


def test_random_draws_each_candidate_equally_often() -> None:
    # Each of 20 eligible candidates is drawn with p = 1/4, in 4000 rows: mean 1000, standard
    # deviation sqrt(4000 * 1/4 * 3/4) = 27.4; six of them bound all 20 counts.
    context = make_context(1, 21, ineligible=0.0)
    many = permute_rows(context, torch.zeros(4000, dtype=torch.int64))
    counts = make("random", k=5)(many).mask.sum(dim=0)
    counts = counts[counts > 0]
    assert len(counts) == 20
    assert (counts - 1000).abs().max() < 6 * 27.4


def test_random_is_decided_by_its_generator_alone() -> None:
    context = make_context(6, 40)
    torch.manual_seed(0)
    one = make("random")(context.replace(generator=torch.Generator().manual_seed(3))).mask
    torch.manual_seed(1)
    two = make("random")(context.replace(generator=torch.Generator().manual_seed(3))).mask
    assert torch.equal(one, two)
