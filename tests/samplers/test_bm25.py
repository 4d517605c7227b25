from typing import Any

import torch

from nsbench.benchmarks.candidates import candidates
from nsbench.samplers import make
from nsbench.samplers.testing import expect_oracle, make_context


def test_bm25_keeps_the_batch_and_what_was_mined() -> None:
    expect_oracle(make("bm25"), lambda row, s_pos, hardest_first: hardest_first)


def test_bm25_keeps_only_its_own_if_asked() -> None:
    context = make_context(6, 30)
    mask = make("bm25", keep="own")(context).mask
    assert torch.equal(mask, context.negative_mask & context.require("own_negative"))


def test_bm25_asks_for_a_corpus_ranked_by_bm25() -> None:
    sampler: Any = make("bm25", k=2, depth=5, shortage="error")
    name, given = sampler.pool
    pool: Any = candidates.make(name, **given)
    assert (pool.source, pool.negatives, pool.depth, pool.shortage) == ("bm25", 2, 5, "error")
    assert sampler.requires_pool == name
