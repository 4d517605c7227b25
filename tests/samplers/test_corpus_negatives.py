from typing import Any

import pytest

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.mining.settings import MineSettings
from nsbench.samplers import make


def test_every_setting_reaches_the_pool() -> None:
    sampler: Any = make(
        "corpus_negatives",
        source="guide",
        k=4,
        depth=8,
        start=10,
        stop=100,
        max_score=0.7,
        margin=0.05,
        relative_margin=0.1,
        shortage="drop",
    )
    name, given = sampler.pool
    pool: Any = candidates.make(name, **given)
    window = pool.window
    assert (window.start, window.stop, window.depth, window.need) == (10, 100, 8, 4)
    assert (window.max_score, window.margin, window.relative_margin) == (0.7, 0.05, 0.1)
    assert (pool.source, pool.shortage, pool.refresh) == ("guide", "drop", "never")
    plain: Any = make("corpus_negatives", source="bm25+model", shares=[2.0, 1.0], blend="shares")
    pool = candidates.make(*plain.pool[:1], **plain.pool[1])
    assert (pool.weights, pool.window.max_score) == ((2.0, 1.0), None)


def test_what_does_not_fit_is_refused() -> None:
    for given, message in (
        ({"source": "bm25", "max_score": 0.5}, "bm25 gives no cosines"),
        ({"source": "random", "margin": 0.1}, "gives places, not scores"),
        ({"source": "web"}, r"source is .web.. Known: bm25, guide, model, random"),
        ({"source": "bm25", "refresh_every": 3}, "does not change"),
    ):
        name, params = make("corpus_negatives", **given).pool
        with pytest.raises(ValueError, match=message):
            candidates.make(name, **params)


def test_mining_a_data_set_takes_its_filters_and_refuses_other_sources() -> None:
    given = "corpus_negatives[source=model,k=4,stop=100,max_score=0.7,relative_margin=0.05]"
    settings = MineSettings(sampler=given)
    assert (settings.max_score, settings.relative_margin, settings.margin) == (0.7, 0.05, None)
    assert (settings.negatives, settings.range_max, settings.source) == (4, 100, "model")
    with pytest.raises(ValueError, match="ranks by 'random', which is for training"):
        MineSettings(sampler="corpus_negatives")
