import torch

from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle, make_context


def test_easiest_keeps_the_k_least_similar() -> None:
    for k in (1, 3, 7):
        expect_oracle(
            make("easiest", k=k), lambda row, s_pos, hardest_first, k=k: hardest_first[-k:]
        )


def test_easiest_and_hard_meet_in_the_whole() -> None:
    context = make_context(1, 21, ineligible=0.0)
    hard, easy = make("hard", k=8)(context).mask, make("easiest", k=12)(context).mask
    assert torch.equal(hard ^ easy, context.negative_mask)
