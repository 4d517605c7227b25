"""Further columns drawn by how many of the batch's rows rank them (B3++)."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from made_training import method, opened, unbroken, world_of

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.candidates.counted import counted, draw_by_count
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders


def test_counts_equal_nested_loops_and_leave_out_the_batch() -> None:
    rng = np.random.default_rng(0)
    window = rng.integers(-1, 20, (20, 6))
    batch = np.array([3, 7, 11, 19])
    loops = Counter(int(j) for i in batch for j in window[i] if j >= 0 and j not in batch)
    assert counted(window, batch).tolist() == [loops[j] for j in range(20)]


def test_law_a_row_that_counts_twice_is_drawn_first_twice_as_often() -> None:
    counts, rng = np.array([0, 1, 2, 5, 0]), np.random.default_rng(1)
    first = Counter(int(draw_by_count(counts, 1, rng)[0]) for _ in range(8000))
    assert set(first) == {1, 2, 3}
    for row, count in ((1, 1), (2, 2), (3, 5)):
        expected = 8000 * count / 8
        assert abs(first[row] - expected) < 5 * expected**0.5


def test_no_row_is_drawn_twice_and_few_rows_are_drawn_whole() -> None:
    counts = np.array([4, 0, 1, 1])
    found = draw_by_count(counts, 9, np.random.default_rng(0))
    assert sorted(found.tolist()) == [0, 2, 3]
    assert not len(draw_by_count(np.zeros(5, np.int64), 3, np.random.default_rng(0)))


@pytest.mark.parametrize("share", ["batch", "own"])
def test_columns_are_of_the_window_outside_the_batch_and_decided_by_the_step(share: str) -> None:
    data = datasets.make("planted", rows=60)()
    world = world_of(encoders.make("static", dimension=16).build(data.texts, 0), data)
    pool = candidates.make("counted", negatives=3, skip=1, width=5, share=share).open(world)
    rows = torch.arange(0, 16, 2)
    found = []
    for step in (0, 1, 0):
        pool.refresh(step)
        texts = pool.mined(rows)
        assert len(texts) == len(rows) * 3
        found.append(texts)
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    chosen = found[0][found[0] >= 0]
    assert len(set(chosen.tolist())) == len(chosen)
    windows = set(data.positive[pool.window[rows.numpy()].ravel()].tolist())
    assert set(chosen.tolist()) <= windows - set(data.positive[rows.numpy()].tolist())
    scores = pool.mined_scores()
    assert scores.isnan().all()
    assert len(scores) == len(texts)


def test_a_training_resumes_as_if_never_stopped() -> None:
    def begun() -> Any:
        data = datasets.make("planted", rows=60)()
        encoder = encoders.make("static", dimension=16).build(data.texts, 0)
        pool = candidates.make("counted", negatives=2, skip=2, width=10)
        return opened(encoder, data, method("in_batch", pool=pool, steps=16, learning_rate=0.05))

    unbroken(begun, after=7)
