"""Batches: every row once an epoch, topics together, and the plain order where there is one."""

from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nsbench.benchmarks.contrast.views import bucket
from nsbench.benchmarks.training.batches import Ints, batches, feed_for, topical_batches
from nsbench.samplers import make


def first(count: int, source: Iterator[Ints]) -> Ints:
    return np.stack(list(islice(source, count)))


def test_bucket_is_the_next_multiple_of_8_within_the_limit() -> None:
    assert [bucket(n, 20) for n in (1, 8, 9, 16, 17, 20)] == [8, 8, 16, 16, 20, 20]


def test_batches_show_every_row_once_an_epoch_in_another_order_each() -> None:
    found = first(6, batches(30, 10, seed=0))
    assert sorted(found[:3].ravel()) == sorted(found[3:].ravel()) == list(range(30))
    assert (found[:3] != found[3:]).any()
    assert (first(6, batches(30, 10, seed=0)) == found).all()
    assert (first(6, batches(30, 10, seed=1)) != found).any()


@pytest.mark.parametrize(("rows", "size"), [(30, 10), (33, 10), (29, 10), (10, 10)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_law_tas_b_with_one_cluster_is_random_batches(rows: int, size: int, share: float) -> None:
    topical = topical_batches(np.zeros(rows, np.int64), size, 5, share=share)
    assert (first(7, topical) == first(7, batches(rows, size, 5))).all()


def test_topical_share_0_is_random_batches() -> None:
    topics = np.arange(33) % 4
    found = first(7, topical_batches(topics, 10, 5, share=0.0))
    assert (found == first(7, batches(33, 10, 5))).all()


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("clusters", [3, 7, 40, 200])
def test_topical_batches_show_no_row_twice_an_epoch(share: float, clusters: int) -> None:
    rng = np.random.default_rng(0)
    topics = rng.integers(clusters, size=203)
    source = topical_batches(topics, 20, 1, share=share)
    for _ in range(3):
        epoch = first(10, source)
        assert epoch.shape == (10, 20)
        assert len(np.unique(epoch)) == 200


def test_topical_batches_hold_their_share_of_one_topic() -> None:
    topics = np.repeat(np.arange(5), 100)
    for share in (0.5, 1.0):
        for batch in first(20, topical_batches(topics, 20, 3, share=share)):
            most = np.bincount(topics[batch]).max()
            if share == 1:
                assert most == 20
            else:
                assert most >= 10
    whole = first(25, topical_batches(topics, 20, 3, share=1.0))
    assert len({topics[batch[0]] for batch in whole}) == 5


def test_topics_smaller_than_a_batch_stay_together() -> None:
    topics = np.repeat(np.arange(60), 5)
    for batch in first(15, topical_batches(topics, 20, 0, share=1.0)):
        assert len(np.unique(topics[batch])) <= 5


def test_batches_refuse_fewer_rows_than_one_batch() -> None:
    with pytest.raises(ValueError, match="batch_size is 5, but the data has only 4 rows"):
        next(batches(4, 5, 0))
    with pytest.raises(ValueError, match="batch_size is 5"):
        next(topical_batches(np.zeros(4, np.int64), 5, 0, share=1.0))


def a_world() -> Any:
    data = SimpleNamespace(rows=20, source=None)
    return SimpleNamespace(data=data, batch_size=5, seed_for=lambda purpose: 7)


def test_a_sampler_without_a_batcher_gets_shuffled_rows() -> None:
    found = first(4, feed_for(make("in_batch"), a_world()))
    assert (found == first(4, batches(20, 5, 7))).all()


def test_a_sampler_may_bring_its_own_batcher() -> None:
    class Forwards:
        @staticmethod
        def batcher(world: Any) -> Iterator[Ints]:
            return iter(np.arange(world.data.rows).reshape(-1, world.batch_size))

    assert first(4, feed_for(Forwards(), a_world())).ravel().tolist() == list(range(20))  # type: ignore[arg-type]


def test_an_unknown_batcher_is_an_error() -> None:
    with pytest.raises(ValueError, match="Did you mean 'topic'"):
        feed_for(SimpleNamespace(batcher="topics"), a_world())
