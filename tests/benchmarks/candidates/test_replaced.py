"""Conan's rule: negatives that have become easy give way; and the frozen corpus of ADORE."""

from typing import Any

import pytest
import torch
from made_training import method, opened, unbroken, world_of

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.samplers import make

N, DEPTH = 3, 14


def planted(rows: int = 60) -> TrainingData:
    return datasets.make("planted", rows=rows)()


def world() -> World:
    data = planted()
    return world_of(encoders.make("static", dimension=16).build(data.texts, 0), data)


def replacing(**given: Any) -> Any:
    settings = {"negatives": N, "depth": DEPTH, "every": 5, "first": 2} | given
    pool = candidates.make("replaced", **settings).open(world())
    pool.refresh(0)
    return pool


def test_the_first_negatives_are_the_places_after_those_skipped() -> None:
    pool = replacing()
    whole = candidates.make("corpus", shortage="fewer", negatives=DEPTH + 2, depth=DEPTH + 2).open(
        world()
    )
    whole.refresh(0)
    assert torch.equal(pool.ids, whole.ids[:, 2 : 2 + N])
    rows = torch.tensor([4, 9])
    assert torch.equal(pool.mined(rows), pool.ids[rows].flatten())
    scores = whole.scores[rows, 2 : 2 + N].flatten()
    torch.testing.assert_close(pool.mined_scores(), scores, rtol=1e-5, atol=1e-6)


def test_replacing_equals_the_rule_in_nested_loops() -> None:
    pool, generator = replacing(ratio=1.2, limit=0.7), torch.Generator().manual_seed(0)
    ranking = pool.ranking.tolist()
    rows = len(ranking)
    times, started = [[0] * N for _ in range(rows)], pool.started.tolist()
    for step in (5, 10, 15, 20):
        embeddings = torch.nn.functional.normalize(
            pool.world.embed(pool.world.encoder)
            + 0.15 * torch.randn(len(pool.world.data.texts), 16, generator=generator),
            dim=1,
        )
        pool._replace(embeddings)
        for row in range(rows):
            anchor = embeddings[pool.world.data.anchor[row]]
            for k in range(N):
                here = ranking[row][min(DEPTH - 1, times[row][k] * N + k)]
                if here < 0:
                    continue
                now = float(anchor @ embeddings[here])
                following = (times[row][k] + 1) * N + k
                easy = 1.2 * now < started[row][k] and abs(now) < 0.7
                if easy and following < DEPTH and ranking[row][following] >= 0:
                    times[row][k] += 1
                    started[row][k] = float(anchor @ embeddings[ranking[row][following]])
        assert pool.times.tolist() == times, step
    assert pool.times.sum() > 0
    assert pool.times.max() > 1


def test_law_a_model_that_does_not_move_replaces_nothing() -> None:
    pool = replacing(depth=6)
    before = pool.ids.clone()
    positive = pool.started > 0
    pool.refresh(5)
    assert torch.equal(pool.ids[positive], before[positive])
    assert positive.float().mean() > 0.5


def test_law_a_limit_spares_hard_negatives_and_the_end_of_the_ranking_is_kept() -> None:
    pool = replacing(ratio=100.0, limit=1e-9)
    before = pool.ids.clone()
    pool.refresh(5)
    assert torch.equal(pool.ids, before)
    eager = replacing(ratio=1e-9, limit=1.0)  # only scores above 0 give way at once
    for _ in range(8):
        eager._replace(eager.world.embed(eager.world.encoder))
    assert eager.times.max() == (DEPTH - 1) // N
    assert (eager.ids >= 0).all()


def begun(pool: str, sampler: Any = "in_batch", **given: Any) -> Any:
    data = planted()
    encoder = encoders.make("static", dimension=16).build(data.texts, 0)
    made = candidates.make(pool, **given)
    return opened(encoder, data, method(sampler, pool=made, steps=16, learning_rate=0.05))


@pytest.mark.parametrize(
    ("pool", "sampler", "given"),
    [
        ("replaced", "in_batch", {"negatives": 2, "depth": 12, "every": 3, "first": 0}),
        ("frozen_corpus", "whole_corpus", {}),
    ],
)
def test_a_training_resumes_as_if_never_stopped(
    pool: str, sampler: str, given: dict[str, Any]
) -> None:
    unbroken(lambda: begun(pool, sampler, **given), after=7)


def test_a_training_replaces_negatives_and_says_how_many() -> None:
    under = begun("replaced", negatives=2, depth=20, every=3, first=0)
    found = under.finish()
    assert found.cost["negatives_replaced"] > 0
    table = found.difficulty[found.difficulty["quantity"] == "mined_replaced"]
    assert table["mean"].max() > 0
    still = begun("replaced", negatives=2, depth=20, every=100, first=0).finish()
    assert "negatives_replaced" not in still.cost


def test_the_whole_corpus_is_frozen_and_the_hardest_of_it_are_chosen() -> None:
    under = begun("frozen_corpus", make("whole_corpus", k=5))
    at_first = under.pool.stored()
    steps = iter(under)
    for _ in range(3):
        next(steps)
    assert under.pool.stored() is at_first
    assert len(at_first.texts) == 60  # every positive
    seen = under.make_step.method.sampler
    assert seen.requires_pool == "frozen_corpus"
    counts = under.finish().difficulty
    assert (counts[counts["quantity"] == "chosen_count"]["mean"] == 5).all()


def test_batch_columns_join_the_frozen_corpus_if_asked() -> None:
    counts = []
    for batch in ("without", "with"):
        found = begun("frozen_corpus", "in_batch", batch=batch).finish().difficulty
        counts.append(found[found["quantity"] == "candidate_count"]["mean"].iloc[0])
    assert 0 < counts[1] - counts[0] <= 7
