import pytest

from nsbench.samplers import samplers
from nsbench.samplers.testing import expect_oracle


@pytest.mark.parametrize(
    "text", ["in_batch", "topic", "mined", "bm25", "corpus_negatives", "hard[k=1000]"]
)
def test_every_eligible_candidate_is_kept(text: str) -> None:
    expect_oracle(samplers.read(text), lambda row, s_pos, hardest_first: hardest_first)
