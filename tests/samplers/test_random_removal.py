import pytest
import torch

from nsbench.samplers import make, parse_choice
from nsbench.samplers.testing import make_context, permute_rows


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.5])
def test_random_removal_drops_as_many_as_drop_band(share: float) -> None:
    for seed in range(4):
        context = make_context(6, 50, needs=(), seed=seed, ineligible=0.3)
        mine = make("random_removal", share=share)(context).mask.sum(dim=1)
        band = context.eligible[:, 0]
        if share:
            band = make("drop_band", high=share)(context).mask.sum(dim=1)
        assert torch.equal(mine, band)


@pytest.mark.parametrize(
    "like", ["guided", "fn_cancel[threshold=0.2]", "oracle", "hard[k=3]", "incremental"]
)
def test_random_removal_drops_as_many_as_the_sampler_it_controls(like: str) -> None:
    name, given = parse_choice(like)
    context = make_context(8, 40)
    mask = make("random_removal", like=like)(context).mask
    expected = make(name, **given)(context).mask
    assert torch.equal(mask.sum(dim=-1), expected.sum(dim=-1))
    assert not torch.equal(mask, expected)


def test_random_removal_drops_each_candidate_equally_often() -> None:
    # 20 eligible, a quarter dropped, 4000 rows: each is dropped Binomial(4000, 1/4) times, mean
    # 1000, standard deviation 27.4.
    context = make_context(1, 21, needs=(), ineligible=0.0)
    many = permute_rows(context, torch.zeros(4000, dtype=torch.int64))
    dropped = many.negative_mask & ~make("random_removal", share=0.25)(many).mask
    counts = dropped.sum(dim=0)[context.negative_mask[0]]
    assert (counts - 1000).abs().max() < 6 * 27.4
