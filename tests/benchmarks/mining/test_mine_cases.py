"""Cases that users of hard-negative mining meet, with every score set by hand.

The behaviour of ``sentence_transformers.util.mine_hard_negatives`` (sentence-transformers 6.2) on
margins, ranges, draws, several positives, formats, prompts and caches, in a corpus whose cosines
are written down here. What differs by design is listed in docs/mining.md.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import pairs_of

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.mining.corpus import ShortageError
from nsbench.benchmarks.mining.dataset import MinedSet, MineSettings, mine_set
from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache
from nsbench.benchmarks.mining.dataset.formats import write_set
from nsbench.benchmarks.mining.settings import MinedFiles

POSITIVE = 0.8
SCORES = {
    "d95": 0.95,
    "d90": 0.9,
    "d79": 0.79,
    "d76": 0.76,
    "d70": 0.7,
    "d50": 0.5,
    "d30": 0.3,
    "d00": 0.0,
    "d-2": -0.2,
}
BASE = MineSettings(shortage="fewer", negatives=3, range_max=50)


def model_of(scores: Sequence[Mapping[str, float]]) -> TextModel:
    """A model by which anchor ``a<i>`` and each text have the cosine ``scores[i][text]``."""
    count, dimension = len(scores), len(scores) + 1

    def run(texts: Sequence[str], role: str = "", prompt: str | None = None) -> Any:
        out = np.zeros((len(texts), dimension), np.float32)
        for row, text in enumerate(texts):
            if text[0] == "a":
                out[row, int(text[1:])] = 1
                continue
            out[row, :count] = [given.get(text, 0.0) for given in scores]
            out[row, -1] = np.sqrt(max(0.0, 1 - (out[row] ** 2).sum()))
        return out

    return TextModel(
        name="test/table", revision="ab" * 20, dimension=dimension, how="test", run=run
    )


def pairs(rows: Sequence[tuple[str, str]], documents: Sequence[str] = ()) -> TrainingData:
    """Rows of anchors and positives, and further texts of the corpus."""
    texts = list(dict.fromkeys([text for row in rows for text in row] + list(documents)))
    return pairs_of(texts, [(texts.index(a), texts.index(p)) for a, p in rows], "table")


def texts_of(mined: MinedSet, row: int = 0) -> list[str]:
    return [mined.data.texts[i] for i in mined.negatives[row] if i >= 0]


ONE = pairs([("a0", "p")], list(SCORES))
MODEL = model_of([{"p": POSITIVE} | SCORES])


def one(**changes: Any) -> list[str]:
    return texts_of(mine_set(ONE, BASE.replace(**changes), model=MODEL))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "d95 d90 d79"),
        ({"negatives": 1}, "d95"),
        ({"negatives": 9}, "d95 d90 d79 d76 d70 d50 d30 d00 d-2"),
        ({"negatives": 20}, "d95 d90 d79 d76 d70 d50 d30 d00 d-2"),
        ({"range_min": 1}, "d90 d79 d76"),
        ({"range_min": 7}, "d00 d-2"),
        ({"range_min": 30}, ""),
        ({"range_max": 3}, "d95 d90 d79"),
        ({"range_min": 2, "range_max": 5}, "d79 d76 d70"),
        ({"range_max": 0}, "d95 d90 d79"),
        ({"max_score": 0.9}, "d90 d79 d76"),
        ({"max_score": 0.89}, "d79 d76 d70"),
        ({"max_score": -0.5}, ""),
        ({"min_score": 0.9}, "d95 d90"),
        ({"min_score": 0.99}, ""),
        ({"min_score": 0.45, "max_score": 0.77}, "d76 d70 d50"),
        ({"margin": 0.0}, "d79 d76 d70"),
        ({"margin": 0.03}, "d76 d70 d50"),
        ({"margin": 0.2}, "d50 d30 d00"),
        ({"margin": 1.0}, "d-2"),
        ({"margin": 1.5}, ""),
        ({"relative_margin": 0.0}, "d79 d76 d70"),
        ({"relative_margin": 0.04}, "d76 d70 d50"),
        ({"relative_margin": 0.5}, "d30 d00 d-2"),
        ({"margin": 0.02, "relative_margin": 0.1}, "d70 d50 d30"),
        ({"margin": 0.05, "max_score": 0.6}, "d50 d30 d00"),
        ({"margin": 0.05, "range_min": 3}, "d70 d50 d30"),
        ({"margin": 0.05, "range_max": 4}, ""),
        ({"margin": 0.02, "min_score": 0.6}, "d76 d70"),
        ({"relative_margin": 0.05, "range_max": 0}, "d76 d70 d50"),
    ],
)
def test_windows_by_hand(changes: dict[str, Any], wanted: str) -> None:
    assert one(**changes) == wanted.split()


@given(
    st.lists(st.integers(-9, 9), min_size=3, max_size=12, unique=True),
    st.integers(0, 3),
    st.integers(4, 14),
    st.sampled_from([None, 0.0, 0.15, 0.4]),
    st.sampled_from([None, 0.0, 0.3]),
    st.integers(1, 3),
)
@settings(max_examples=60)
def test_windows_by_loops(
    tenths: list[int],
    low: int,
    high: int,
    margin: float | None,
    relative: float | None,
    wanted: int,
) -> None:
    """Rank first, by the places of the ranking; then the scores; then the best that are left."""
    scores = {f"t{t}": t / 10 + 0.013 for t in tenths}
    data = pairs([("a0", "p")], list(scores))
    window = BASE.replace(range_min=low, range_max=high + low, negatives=wanted)
    chosen = window.replace(margin=margin, relative_margin=relative)
    found = texts_of(mine_set(data, chosen, model=model_of([{"p": 0.55} | scores])))
    ranked = sorted(scores, key=lambda t: -scores[t])[low : high + low]
    limit = 0.55 - max(margin or 0, 0.55 * (relative or 0))
    filtered = margin is not None or relative is not None
    kept = [t for t in ranked if not filtered or scores[t] <= limit]
    assert found == kept[:wanted]


def test_a_relative_margin_of_a_negative_positive_is_of_its_magnitude() -> None:
    """``s_pos * (1 - margin)`` would let candidates above a positive below 0 pass."""
    data = pairs([("a0", "p")], ["t1", "t2", "t3"])
    model = model_of([{"p": -0.4, "t1": -0.39, "t2": -0.45, "t3": -0.7}])
    found = mine_set(data, BASE.replace(relative_margin=0.1), model=model)
    assert texts_of(found) == ["t2", "t3"]


def test_scores_and_ranks_are_those_of_the_ranking() -> None:
    mined = mine_set(ONE, BASE.replace(range_min=2), model=MODEL)
    np.testing.assert_allclose(mined.scores[0], [0.79, 0.76, 0.7], atol=1e-6)
    np.testing.assert_allclose(mined.positive_score, [POSITIVE], atol=1e-6)
    assert mined.ranks[0].tolist() == [2, 3, 4]


# several positives

TWO = pairs([("a0", "p"), ("a0", "q")], list(SCORES))
TWICE = model_of([{"p": POSITIVE, "q": 0.55} | SCORES])


@pytest.mark.parametrize(
    ("against", "first", "second"),
    [("own", "d76 d70 d50", "d50 d30 d00"), ("lowest", "d50 d30 d00", "d50 d30 d00")],
)
def test_several_positives(against: str, first: str, second: str) -> None:
    mined = mine_set(TWO, BASE.replace(margin=0.03, against=against), model=TWICE)
    assert texts_of(mined, 0) == first.split()
    assert texts_of(mined, 1) == second.split()


def test_another_positive_is_no_negative_and_takes_no_place() -> None:
    for row in (0, 1):
        mined = mine_set(TWO, BASE.replace(range_min=2, negatives=2), model=TWICE)
        assert texts_of(mined, row) == ["d79", "d76"]


def test_a_positive_of_one_anchor_is_a_negative_of_another() -> None:
    data = pairs([("a0", "p"), ("a1", "q")])
    mined = mine_set(data, BASE, model=model_of([{"p": 0.6, "q": 0.5}, {"p": 0.4, "q": 0.3}]))
    assert texts_of(mined, 0) == ["q"]
    assert texts_of(mined, 1) == ["p"]


@pytest.mark.parametrize("copy", ["A0", " p ", "P"])
def test_spellings_of_the_anchor_and_its_positive_are_no_negatives(copy: str) -> None:
    data = pairs([("a0", "p")], [copy, "d50"])
    assert texts_of(mine_set(data, BASE, model=MODEL)) == ["d50"]


def test_anchors_are_candidates_only_if_asked() -> None:
    data = pairs([("a0", "p"), ("a1", "q")], ["t"])
    table = [{"p": 0.6, "q": 0.5, "t": 0.1}, {"p": 0.4, "q": 0.5, "t": 0.1}]
    plain = mine_set(data, BASE, model=model_of(table))
    assert texts_of(plain) == ["q", "t"]
    wide = mine_set(data, BASE.replace(among="all"), model=model_of(table))
    assert set(texts_of(wide)) == {"q", "t", "a1"}


def test_equal_documents_are_one() -> None:
    data = pairs([("a0", "p")], ["d50", "D50", " d50", "d30"])
    assert texts_of(mine_set(data, BASE, model=MODEL)) == ["d50", "d30"]


def test_ties_are_ordered_alike_every_time() -> None:
    data = pairs([("a0", "p")], [f"t{i}" for i in range(6)])
    model = model_of([{"p": 0.9} | {f"t{i}": 0.5 for i in range(6)}])
    found = [texts_of(mine_set(data, BASE, model=model)) for _ in range(3)]
    assert found[0] == found[1] == found[2] == ["t0", "t1", "t2"]


# running out


@pytest.mark.parametrize(
    ("shortage", "kept", "count"), [("drop", 0, 0), ("fewer", 1, 2), ("pad_random", 1, 3)]
)
def test_shortage(shortage: str, kept: int, count: int) -> None:
    mined = mine_set(ONE, BASE.replace(shortage=shortage, min_score=0.85), model=MODEL)
    assert int(mined.kept.sum()) == kept
    assert mined.short == 1
    if kept:
        assert len(texts_of(mined)) == len(set(texts_of(mined))) == count
        assert texts_of(mined)[:2] == ["d95", "d90"]


def test_shortage_as_an_error() -> None:
    with pytest.raises(ShortageError):
        mine_set(ONE, BASE.replace(shortage="error", min_score=0.85), model=MODEL)


def test_padding_is_decided_by_the_seed() -> None:
    def padded(seed: int) -> list[str]:
        return one(shortage="pad_random", negatives=5, min_score=0.85, seed=seed)

    assert padded(1) == padded(1)
    assert len({tuple(padded(seed)) for seed in range(6)}) > 1
    assert all("p" not in padded(seed) and "a0" not in padded(seed) for seed in range(6))


# draws


def test_random_draws_within_the_window_in_the_order_of_the_ranking() -> None:
    drawn = [one(pick="random", range_min=1, range_max=6, seed=s) for s in range(20)]
    places = list(SCORES)
    for negatives in drawn:
        assert set(negatives) <= set(places[1:6])
        assert negatives == sorted(negatives, key=places.index)
        assert len(set(negatives)) == 3
    assert len({tuple(n) for n in drawn}) > 3
    assert drawn[0] == one(pick="random", range_min=1, range_max=6, seed=0)


def test_random_draws_reach_every_candidate() -> None:
    seen = {t for s in range(40) for t in one(pick="random", negatives=1, seed=s)}
    assert seen == set(SCORES)


def test_random_takes_all_where_there_are_no_more() -> None:
    assert one(pick="random", range_max=3) == ["d95", "d90", "d79"]


# formats

MANY = pairs([("a0", "p"), ("a1", "q")], ["d50", "d30"])
TABLE = model_of([{"p": 0.8, "q": 0.1, "d50": 0.5, "d30": 0.3}, {"q": 0.7, "d50": 0.2, "d30": 0.1}])


def written(tmp_path: Path, form: str, *, scores: bool = False, **changes: Any) -> list[Any]:
    mined = mine_set(MANY, BASE.replace(negatives=2, **changes), model=TABLE)
    write_set(mined, tmp_path, MinedFiles(form=form, scores=scores))
    return [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]


def test_triplets(tmp_path: Path) -> None:
    rows = written(tmp_path, "triplet")
    assert rows[0] == {"anchor": "a0", "positive": "p", "negative": "d50"}
    assert len(rows) == 4
    assert list(rows[0]) == ["anchor", "positive", "negative"]


@pytest.mark.parametrize(
    ("form", "scores"),
    [("triplet", [0.8, 0.5]), ("n-tuple", [0.8, 0.5, 0.3]), ("labeled-list", [0.8, 0.5, 0.3])],
)
def test_scores_of_the_positive_and_the_negatives(
    tmp_path: Path, form: str, scores: list[float]
) -> None:
    row = written(tmp_path, form, shortage="drop", scores=True)[0]
    assert row["scores"] == pytest.approx(scores, abs=2e-6)
    assert row.get("labels", [1, 0, 0]) == [1, 0, 0]


def test_tuples(tmp_path: Path) -> None:
    rows = written(tmp_path, "n-tuple", shortage="drop")
    assert rows[0] == {"anchor": "a0", "positive": "p", "negative_1": "d50", "negative_2": "d30"}
    assert len(rows) == 2


def test_tuples_have_as_many_columns_in_every_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n-tuple has as many columns in every row"):
        written(tmp_path, "n-tuple")
    rows = written(tmp_path, "n-tuple", shortage="drop", min_score=0.25)
    assert [row["anchor"] for row in rows] == ["a0"]


def test_labelled_pairs(tmp_path: Path) -> None:
    rows = written(tmp_path, "labeled-pair")
    mine = [(r["positive"], r["label"]) for r in rows if r["anchor"] == "a0"]
    assert mine == [("p", 1), ("d50", 0), ("d30", 0)]


def test_labelled_lists(tmp_path: Path) -> None:
    row = written(tmp_path, "labeled-list")[0]
    assert row == {"anchor": "a0", "positive": ["p", "d50", "d30"], "labels": [1, 0, 0]}


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format"):
        MinedFiles(form="quadruplet")


# prompts


def prompted() -> tuple[TextModel, list[tuple[tuple[str, ...], str, str | None]]]:
    calls: list[tuple[tuple[str, ...], str, str | None]] = []

    def run(texts: Sequence[str], role: str = "", prompt: str | None = None) -> Any:
        calls.append((tuple(texts), role, prompt))
        return MODEL.run(texts, role, prompt)

    return replace(MODEL, run=run, prompts={"ask": "which one: "}, symmetric=False), calls


def test_prompts_go_to_their_side() -> None:
    model, calls = prompted()
    chosen = BASE.replace(query_prompt="query: ", corpus_prompt="passage: ")
    mine_set(ONE, chosen, model=model)
    by_prompt = defaultdict(set)
    for texts, _, prompt in calls:
        by_prompt[prompt].update(texts)
    assert by_prompt["query: "] == {"a0"}
    assert {"p", *SCORES} <= by_prompt["passage: "]
    assert set(by_prompt) == {"query: ", "passage: "}


def test_without_prompts_the_model_has_its_own_by_role() -> None:
    model, calls = prompted()
    mine_set(ONE, BASE, model=model)
    roles = {role: {t for texts, r, _ in calls if r == role for t in texts} for _, role, _ in calls}
    assert roles["query"] == {"a0"}
    assert {"p", *SCORES} <= roles["document"]
    assert {prompt for _, _, prompt in calls} == {None}


def test_prompts_are_known_by_name() -> None:
    model, _ = prompted()
    assert model.prompt("ask") == "which one: "
    with pytest.raises(ValueError, match="no prompt 'asks'"):
        model.prompt("asks")


def test_bm25_has_no_prompt() -> None:
    with pytest.raises(ValueError, match="bm25 reads texts without one"):
        BASE.replace(source="bm25", query_prompt="query: ")


# caches


def test_what_is_cached_is_not_encoded_again(tmp_path: Path) -> None:
    model, calls = prompted()
    first = mine_set(ONE, BASE, model=model, cache=EmbeddingCache(tmp_path))
    count = len(calls)
    again = mine_set(ONE, BASE, model=model, cache=EmbeddingCache(tmp_path))
    assert len(calls) == count > 0
    assert texts_of(first) == texts_of(again)


@pytest.mark.parametrize("changes", [{"query_prompt": "q: "}, {"corpus_prompt": "c: "}])
def test_another_prompt_is_another_entry(tmp_path: Path, changes: dict[str, str]) -> None:
    model, calls = prompted()
    mine_set(ONE, BASE, model=model, cache=EmbeddingCache(tmp_path))
    count = len(calls)
    mine_set(ONE, BASE.replace(**changes), model=model, cache=EmbeddingCache(tmp_path))
    assert len(calls) == count + 1  # the other side is there


def test_another_margin_is_the_same_entry(tmp_path: Path) -> None:
    model, calls = prompted()
    mine_set(ONE, BASE, model=model, cache=EmbeddingCache(tmp_path))
    count = len(calls)
    mine_set(ONE, BASE.replace(margin=0.1), model=model, cache=EmbeddingCache(tmp_path))
    assert len(calls) == count


# refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shortage": ""}, "say with --shortage"),
        ({"shortage": "none"}, "shortage"),
        ({"negatives": 0}, "negatives"),
        ({"range_min": 5, "range_max": 6}, "leaves 1 places"),
        ({"margin": -0.1}, "margin"),
        ({"relative_margin": -0.1}, "relative_margin"),
        ({"min_score": 0.9, "max_score": 0.1}, "below min_score"),
        ({"pick": "best"}, "pick"),
        ({"against": "highest"}, "against"),
        ({"sampler": "hrad"}, "Did you mean 'hard'"),
        ({"sampler": "mixed"}, "needs anchors, candidates: only in training"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BASE.replace(**changes)
