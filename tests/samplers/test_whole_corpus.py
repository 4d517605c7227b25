import pytest

from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle


@pytest.mark.parametrize(("k", "skip"), [(1, 0), (4, 3), (200, 0)])
def test_whole_corpus_keeps_the_k_hardest_behind_those_skipped(k: int, skip: int) -> None:
    sampler = make("whole_corpus", k=k, skip=skip)
    expect_oracle(sampler, lambda row, s_pos, hardest_first: hardest_first[skip : skip + k])


def test_law_with_all_places_it_is_in_batch() -> None:
    expect_oracle(make("whole_corpus", k=10**6), lambda row, s_pos, hardest_first: hardest_first)
