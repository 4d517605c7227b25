"""False negatives by swaps: what was planted is covered, and nothing is seen where none are."""

import numpy as np
import pytest

from nsbench.benchmarks.audit.swaps import LEAST, shares, swaps
from tools.audit_coverage import draw, table


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_the_interval_covers_the_planted_share(rate: float) -> None:
    found = [draw(rate, 400, seed) for seed in (1, 2)]
    for name, truth, low, high in (one[0] for one in found):
        assert name == "random candidates"
        assert low <= truth + 5e-6
        assert truth <= high
        assert high < truth + 0.06, "an interval that says nothing"
        assert (low > 0) == (rate > 0), "it must say whether there are any"


@pytest.mark.slow
def test_the_interval_covers_in_ninety_of_a_hundred_draws() -> None:
    rows = [line.split(" | ") for line in table(100, 600).splitlines() if "random" in line]
    assert len(rows) == 3
    for row in rows:
        assert int(row[2].split()[0]) >= 90, row


def _world(n: int, rng: np.random.Generator, noise: float) -> tuple[np.ndarray, ...]:
    meaning = rng.normal(size=(n, 32))
    meaning[1::2] = meaning[::2]  # every row has one twin
    texts = [meaning + noise * rng.normal(size=meaning.shape) for _ in range(2)]
    left, right = (t / np.linalg.norm(t, axis=1, keepdims=True) for t in texts)
    return left, right


def test_twins_are_counted_and_known_ones_are_not() -> None:
    rng = np.random.default_rng(3)
    n = 200
    left, right = _world(n, rng, 0.3)
    rows, none = np.arange(n), np.eye(n, dtype=bool)
    ranked = np.where(none, -np.inf, left @ right.T)
    places = np.argsort(np.argsort(-ranked, axis=1), axis=1)
    truth = 1 / (n - 1)  # one twin among the others
    (first, *bands) = shares([swaps(rows, left, right, none, places)])
    assert first.low <= truth <= first.high < 3 * truth
    assert first.candidates == n * (n - 1)
    place = next(b for b in bands if b.name == "place 1")
    assert place.low > 0.25  # the twin is the hardest candidate of nearly every anchor
    twins = rows[:, None] // 2 == rows[None, :] // 2
    (known, *_) = shares([swaps(rows, left, right, twins, places)])
    assert known.low == 0
    assert known.high < truth


def test_a_pair_of_rows_and_its_mirror_image_win_and_lose_together() -> None:
    rng = np.random.default_rng(4)
    left, right = _world(60, rng, 1.0)
    rows, none = np.arange(60), np.eye(60, dtype=bool)
    places = np.zeros((60, 60), np.int64)
    one = swaps(rows, left, right, none, places)
    other = swaps(rows, right, left, none, places)  # anchors for positives
    assert np.array_equal(one.wins, other.wins)
    tied = swaps(rows, left, left, none, places)  # a row's texts are one: given is never beaten
    assert tied.wins.max() == 0


def test_few_rows_give_no_estimate() -> None:
    left, right = _world(LEAST - 2, np.random.default_rng(5), 0.3)
    none = np.eye(len(left), dtype=bool)
    found = swaps(np.arange(len(left)), left, right, none, np.zeros(none.shape, np.int64))
    assert shares([found]) == []


def test_the_same_seed_gives_the_same_interval() -> None:
    assert draw(0.05, 200, 7) == draw(0.05, 200, 7)
