from typing import Any

import pytest
import torch

from nsbench.benchmarks.candidates import candidates
from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle, make_context


def test_mined_keeps_the_batch_and_what_was_mined() -> None:
    expect_oracle(make("mined"), lambda row, s_pos, hardest_first: hardest_first)


def test_mined_keeps_only_its_own_if_asked() -> None:
    context = make_context(6, 30)
    mask = make("mined", keep="own")(context).mask
    assert torch.equal(mask, context.negative_mask & context.require("own_negative"))


def test_mined_asks_for_a_corpus_ranked_by_the_model() -> None:
    sampler: Any = make("mined", k=2, depth=5, start=3, refresh_every=0, shortage="error")
    name, given = sampler.pool
    pool: Any = candidates.make(name, **given)
    assert (pool.source, pool.negatives, pool.refresh) == ("model", 2, "never")
    assert (pool.window.start, pool.window.stop, pool.window.depth) == (3, 8, 5)
    assert sampler.requires_pool == name


def test_the_official_variant_draws_from_two_hundred_places() -> None:
    sampler: Any = make("mined", variant="official", k=30)
    pool: Any = candidates.make("corpus", **sampler.pool[1])
    assert (pool.window.start, pool.window.stop, pool.window.depth) == (0, 200, 200)
    for given in ({"depth": 50}, {"start": 5}):
        with pytest.raises(ValueError, match="variant official has 200 and 0"):
            make("mined", variant="official", **given)


def test_mined_refuses_to_draw_more_than_it_ranks() -> None:
    with pytest.raises(ValueError, match="depth must be a whole number >= 30, got 20"):
        make("mined", k=30)
