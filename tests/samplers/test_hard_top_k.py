from nsbench.samplers import make
from nsbench.samplers.testing import chosen, expect_oracle, one_row


def test_hard_keeps_the_k_most_similar() -> None:
    for k in (1, 3, 7):
        expect_oracle(make("hard", k=k), lambda row, s_pos, hardest_first, k=k: hardest_first[:k])


def test_hard_breaks_ties_towards_the_lower_column() -> None:
    assert chosen(make("hard", k=2)(one_row([1.0, 0.5, 0.5, 0.5])).mask) == [{1, 2}]
