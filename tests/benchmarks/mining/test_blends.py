"""Random rankings, and several rankings as one."""

from typing import Any

import numpy as np
import pytest
from made_training import training

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.mining.blends import BlendSource, RandomSource
from nsbench.benchmarks.mining.sources import Floats, Ints


class Fixed:
    """A source whose rankings are given."""

    def __init__(self, name: str, rankings: list[list[int]]) -> None:
        self.name, self.rankings = name, rankings

    def rank(self, queries: Ints, k: int) -> tuple[Floats, Ints]:
        ids = np.full((len(queries), k), -1, np.int64)
        for row, query in enumerate(queries):
            mine = self.rankings[query][:k]
            ids[row, : len(mine)] = mine
        return np.where(ids >= 0, 1.0, -np.inf).astype(np.float32), ids

    def pairs(self, left: Ints, right: Ints) -> Floats:
        return np.zeros(len(left), np.float32)


def test_a_random_ranking_holds_every_text_equally_often_and_none_twice() -> None:
    texts = np.array([3, 5, 7, 9, 11])
    source = RandomSource(texts, np.random.default_rng(0))
    scores, ids = source.rank(np.zeros(4000, np.int64), 2)
    assert (ids[:, 0] != ids[:, 1]).all()
    assert (np.diff(scores, axis=1) < 0).all()
    for place in range(2):
        counts = [(ids[:, place] == text).sum() for text in texts]
        # Binomial(4000, 1/5): standard deviation 25.3.
        assert max(abs(c - 800) for c in counts) < 5 * 25.3
    again = RandomSource(texts, np.random.default_rng(0)).rank(np.zeros(4000, np.int64), 2)[1]
    assert np.array_equal(ids, again)
    other = RandomSource(texts, np.random.default_rng(1)).rank(np.zeros(4000, np.int64), 2)[1]
    assert not np.array_equal(ids, other)


def by_loops(rankings: list[list[int]], shares: list[float]) -> list[int]:
    """Reciprocal rank fusion, text by text."""
    score: dict[int, float] = {}
    for ranking, share in zip(rankings, shares, strict=True):
        for place, text in enumerate(ranking, 1):
            score[text] = score.get(text, 0.0) + share / (60 + place)
    return sorted(score, key=lambda text: (-round(score[text], 12), text))


def test_fusion_equals_the_formula_text_by_text() -> None:
    draw = np.random.default_rng(2)
    for _ in range(20):
        lists = [draw.permutation(9)[: draw.integers(0, 9)].tolist() for _ in range(3)]
        shares = draw.uniform(0.1, 3, size=3).tolist()
        blend = BlendSource([Fixed(str(i), [r]) for i, r in enumerate(lists)], shares, "fusion")
        scores, ids = blend.rank(np.array([0]), 9)
        wanted = by_loops(lists, shares)
        assert ids[0].tolist() == wanted + [-1] * (9 - len(wanted))
        assert np.isfinite(scores[0, : len(wanted)]).all()
        assert (scores[0, len(wanted) :] == -np.inf).all()


def test_shares_take_each_source_in_turn_and_no_text_twice() -> None:
    one, two = Fixed("one", [[0, 1, 2, 3, 4, 5]]), Fixed("two", [[10, 1, 12]])
    even = BlendSource([one, two], [1.0, 1.0], "shares").rank(np.array([0]), 6)[1]
    assert even[0].tolist() == [0, 10, 1, 2, 12, 3]
    three = BlendSource([one, two], [3.0, 1.0], "shares").rank(np.array([0]), 5)[1]
    assert three[0].tolist() == [0, 1, 10, 2, 3]


def test_law_a_blend_of_one_ranking_with_itself_is_that_ranking() -> None:
    one = [Fixed("one", [[4, 2, 7, 1]]), Fixed("same", [[4, 2, 7, 1]])]
    for blend in ("fusion", "shares"):
        assert BlendSource(one, [1.0, 2.0], blend).rank(np.array([0]), 4)[1].tolist() == [
            [4, 2, 7, 1]
        ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "bm25+bm25"}, "names a source twice"),
        ({"source": "bm25+models"}, "source is 'models'"),
        ({"source": "bm25", "shares": [1.0]}, "shares has 1 weights"),
        ({"source": "bm25+model", "shares": [1.0]}, "shares has 1 weights"),
        ({"source": "bm25+model", "shares": [1.0, 0.0]}, "shares must be in"),
        ({"source": "random", "margin": 0.1}, "gives places, not scores"),
        ({"source": "bm25", "blend": "shares"}, "a single one"),
        ({"source": "bm25+guide", "refresh": 3}, "does not change"),
    ],
)
def test_what_cannot_be_honoured_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        candidates.make("corpus", shortage="fewer", **given)


@pytest.mark.parametrize("source", ["random", "bm25+random", "model+bm25"])
def test_a_training_mines_from_it_and_never_a_known_positive(source: str) -> None:
    pool = {"shortage": "fewer", "source": source, "negatives": 2, "depth": 4}
    under = training("static", "in_batch", "corpus", pool)
    done = under.finish()
    assert np.isfinite(done.training["loss"]).all()
    ids, data = under.pool.ids, under.world.data  # type: ignore[attr-defined]
    assert (ids >= 0).all()
    for row in range(data.rows):
        mine = data.group[ids[row].numpy()]
        assert data.group[data.anchor[row]] not in mine
        assert data.group[data.positive[row]] not in mine
    again = training("static", "in_batch", "corpus", pool)
    again.finish()
    assert (again.pool.ids == ids).all()  # type: ignore[attr-defined]
