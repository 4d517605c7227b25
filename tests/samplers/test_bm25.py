from typing import Any

from nsbench.benchmarks.candidates import candidates
from nsbench.samplers import make


def test_bm25_asks_for_a_corpus_ranked_by_bm25() -> None:
    sampler: Any = make("bm25", k=2, depth=5, shortage="error")
    name, given = sampler.pool
    pool: Any = candidates.make(name, **given)
    assert (pool.source, pool.negatives, pool.depth, pool.shortage) == ("bm25", 2, 5, "error")
    assert sampler.requires_pool == name
