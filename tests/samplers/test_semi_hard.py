from nsbench.samplers import make
from nsbench.samplers.testing import chosen, expect_oracle, one_row


def rule(row: list[float], s_pos: float, hardest_first: list[int]) -> list[int]:
    return [j for j in hardest_first if s_pos - 0.5 < row[j] < s_pos] or hardest_first


def test_semi_hard_keeps_what_lies_just_below_the_positive() -> None:
    expect_oracle(make("semi_hard", margin=0.5), rule)


def test_law_semi_hard_chosen_is_maximal_below_the_positive() -> None:
    def hardest(row: list[float], s_pos: float, hardest_first: list[int]) -> list[int]:
        below = [j for j in hardest_first if row[j] < s_pos]
        return below[:1] or hardest_first[-1:]

    expect_oracle(make("semi_hard", margin=2.0, keep="hardest", fallback="easiest"), hardest)


def test_semi_hard_keeps_all_when_band_is_empty() -> None:
    assert chosen(make("semi_hard", margin=0.1)(one_row([0.5, 0.9, 0.8, 0.1])).mask) == [{1, 2, 3}]


def test_semi_hard_leaves_out_both_ends_of_its_band() -> None:
    context = one_row([0.5, 0.5, 0.25, 0.375])
    assert chosen(make("semi_hard", margin=0.25)(context).mask) == [{3}]
