import pytest

from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle


@pytest.mark.parametrize("name", ["in_batch", "topic", "mined", "bm25", "corpus_negatives"])
def test_every_eligible_candidate_is_kept(name: str) -> None:
    expect_oracle(make(name), lambda row, s_pos, hardest_first: hardest_first)
