import torch

from nsbench.samplers import make
from nsbench.samplers.testing import chosen, expect_oracle, make_context, one_row


def test_hard_keeps_the_k_most_similar() -> None:
    for k in (1, 3, 7):
        expect_oracle(make("hard", k=k), lambda row, s_pos, hardest_first, k=k: hardest_first[:k])


def test_hard_keeps_all_when_k_exceeds_the_pool() -> None:
    context = make_context(5, 12)
    assert torch.equal(make("hard", k=1000)(context).mask, context.negative_mask)


def test_hard_breaks_ties_towards_the_lower_column() -> None:
    assert chosen(make("hard", k=2)(one_row([1.0, 0.5, 0.5, 0.5])).mask) == [{1, 2}]
