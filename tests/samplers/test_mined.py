from typing import Any

import torch

from nsbench.benchmarks.candidates import candidates
from nsbench.samplers import make
from nsbench.samplers.testing import make_context


def test_mined_keeps_only_its_own_if_asked() -> None:
    context = make_context(6, 30)
    for name in ("mined", "bm25", "corpus_negatives"):
        mask = make(name, keep="own")(context).mask
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
