from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle


def test_in_batch_keeps_every_eligible_candidate() -> None:
    expect_oracle(make("in_batch"), lambda row, s_pos, hardest_first: hardest_first)
