"""Mining: what is never mined, why a candidate was refused, and every way to run short."""

import sys
from typing import Any

import numpy as np
import pytest
import torch

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.mining.bm25 import Bm25
from nsbench.benchmarks.mining.corpus import (
    REASONS,
    Corpus,
    Mined,
    ShortageError,
    mine,
)
from nsbench.benchmarks.mining.settings import STEMMERS, Window
from nsbench.benchmarks.mining.sources import DenseSource, LexicalSource


def data_of(texts: list[str], pairs: list[tuple[int, int]]) -> TrainingData:
    anchor, positive = (np.array(x, np.int64) for x in zip(*pairs, strict=True))
    return TrainingData("t", tuple(texts), anchor, positive, np.empty((len(pairs), 0), np.int64))


def random_data(rows: int = 30, seed: int = 0) -> TrainingData:
    """Texts with twins in other spelling, and anchors with several known positives."""
    rng = np.random.default_rng(seed)
    texts = [f"text {i}" for i in range(40)] + [f"  TEXT  {i} " for i in range(20)]
    pairs = [(int(a), int(b)) for a, b in rng.integers(60, size=(rows, 2))]
    return data_of(texts, pairs)


def dense(corpus: Corpus, seed: int = 1) -> DenseSource:
    draw = torch.Generator().manual_seed(seed)
    return DenseSource(torch.randn(corpus.size, 8, generator=draw), corpus.candidates, name="test")


def mined(
    data: TrainingData,
    shortage: str = "fewer",
    seed: int = 0,
    among: str = "all",
    **window: Any,
) -> Mined:
    corpus = Corpus(data, among)
    settings = {"depth": 5, "stop": 20} | window
    rng = np.random.default_rng(seed)
    return mine(corpus, dense(corpus), Window(**settings), shortage=shortage, rng=rng)


def forbidden(data: TrainingData, row: int) -> set[int]:
    """Groups a row may not mine, by loops."""
    group = data.group
    anchor = group[data.anchor[row]]
    out = {anchor, group[data.positive[row]]}
    for a, b in zip(data.anchor, data.positive, strict=True):
        out |= {group[b]} if group[a] == anchor else set()
        out |= {group[a]} if group[b] == anchor else set()
    return {int(g) for g in out}


@pytest.mark.parametrize("shortage", ["drop", "fewer", "pad_random"])
def test_mining_never_finds_a_known_positive_or_a_twin(shortage: str) -> None:
    for seed in range(5):
        data = random_data(seed=seed)
        found = mined(data, shortage, depth=30, stop=60)
        for row in range(data.rows):
            groups = [int(data.group[i]) for i in found.ids[row] if i >= 0]
            assert not set(groups) & forbidden(data, row)
            assert len(groups) == len(set(groups))


def test_mining_finds_what_loops_find() -> None:
    data = random_data(seed=3)
    corpus = Corpus(data, "all")
    source = dense(corpus)
    cosine = (source.embeddings.double() @ source.embeddings.double().T).numpy()
    found = mined(data, start=2, stop=12, depth=4, max_score=0.6)
    for row in range(data.rows):
        anchor, barred = data.group[data.anchor[row]], forbidden(data, row)
        order = sorted(set(range(corpus.size)) - barred, key=lambda j: -cosine[anchor, j])
        wanted = [(r, j) for r, j in enumerate(order[:12]) if r >= 2 and cosine[anchor, j] <= 0.6]
        assert data.group[found.ids[row]].tolist() == [j for _, j in wanted[:4]]
        assert found.ranks[row].tolist() == [r for r, _ in wanted[:4]]
        np.testing.assert_allclose(
            found.scores[row], [cosine[anchor, j] for _, j in wanted[:4]], atol=1e-6
        )


def test_mining_gives_every_candidate_a_reason() -> None:
    data = random_data()
    found = mined(data, start=1, stop=9, depth=3, margin=0.1, min_score=0.0)
    assert found.codes.min() >= 0
    assert found.codes.max() < len(REASONS)
    assert sum(found.rejected.values()) == found.codes.size
    assert found.rejected["kept"] == int((found.ids >= 0).sum())
    assert found.rejected["before_window"] == data.rows
    assert found.rejected["same_text"] >= data.rows
    assert found.rejected["too_near_positive"] > 0


def test_mining_margins_are_safe_for_negative_scores() -> None:
    data = random_data()
    corpus = Corpus(data)
    s_pos = dense(corpus).pairs(corpus.anchor, corpus.positive)[:, None]
    assert (s_pos < 0).any()
    limits = {"relative_margin": s_pos - abs(s_pos) * 0.05, "margin": s_pos - np.float32(0.05)}
    for name, limit in limits.items():
        found = mined(data, **{name: 0.05}, depth=10, stop=30)
        assert ((found.scores <= limit) | (found.ids < 0)).all()


def test_law_nv_perc_pos_keeps_no_candidate_above_95_percent_of_the_positive() -> None:
    data = random_data()
    corpus = Corpus(data)
    s_pos = dense(corpus).pairs(corpus.anchor, corpus.positive)
    found = mined(data, relative_margin=0.05, depth=10, stop=40)
    for row in (s_pos > 0).nonzero()[0]:
        kept = found.scores[row][found.ids[row] >= 0]
        assert (kept <= 0.95 * s_pos[row] + 1e-6).all()


def test_shortage_policies_do_what_they_say() -> None:
    data = random_data()
    full = mined(data, "fewer", depth=10, stop=12, min_score=0.3)
    short = full.ids[:, -1] < 0
    assert 0 < short.sum() < data.rows
    assert full.short_rows == short.sum()
    dropped = mined(data, "drop", depth=10, stop=12, min_score=0.3)
    assert (dropped.ids[short] == -1).all()
    assert (dropped.dropped == short).all()
    padded = mined(data, "pad_random", depth=10, stop=12, min_score=0.3)
    assert (padded.ids >= 0).all()
    assert padded.padded == int((full.ids < 0).sum())
    assert (padded.ranks[full.ids < 0] == -1).all()
    assert np.isfinite(padded.scores).all()
    for other in (dropped, padded):
        assert (other.ids[~short] == full.ids[~short]).all()
    with pytest.raises(ShortageError, match=f"{short.sum()} of 30 rows found fewer than 10"):
        mined(data, "error", depth=10, stop=12, min_score=0.3)


def test_padding_is_decided_by_its_generator() -> None:
    data = random_data()
    one, same, other = (mined(data, "pad_random", seed=s, min_score=0.5) for s in (0, 0, 1))
    assert (one.ids == same.ids).all()
    assert (one.ids != other.ids).any()


@pytest.mark.parametrize("texts", [["One", " one ", "ONE"], ["a b", "a  B", "a b"]])
def test_a_corpus_of_one_repeated_sentence_meets_the_policy(texts: list[str]) -> None:
    data = data_of(texts, [(0, 1), (1, 2), (0, 0)])
    for shortage in ("drop", "fewer", "pad_random"):
        found = mined(data, shortage)
        assert (found.ids == -1).all()
        assert found.short_rows == 3
    with pytest.raises(ShortageError, match="3 of 3 rows"):
        mined(data, "error")


def test_more_than_the_pool_meets_the_policy() -> None:
    data = data_of(["a", "b", "c", "d"], [(0, 1)])
    found = mined(data, "fewer", depth=50, stop=100)
    assert sorted(found.ids[0][:2].tolist()) == [2, 3]
    assert (found.ids[0][2:] == -1).all()


@pytest.mark.parametrize("shortage", ["fewer", "pad_random"])
def test_documents_are_mined_and_queries_are_not(shortage: str) -> None:
    texts = [f"query {i}" for i in range(10)] + [f"document {i}" for i in range(30)]
    data = data_of(texts, [(i, 10 + i) for i in range(10)] + [(3, 12)])
    found = mined(data, shortage, among="documents", depth=25, need=25, stop=28)
    assert (found.ids >= 10).all()
    assert 12 not in found.ids[3]
    both = mined(data, shortage, among="all", depth=25, stop=28)
    assert (both.ids < 10).any()
    index = LexicalSource(Bm25(texts), Corpus(data).candidates)
    assert (index.rank(np.arange(10, 20), 50)[1] != 3).all()
    assert index.rank(np.array([10]), 3)[1].tolist() == [[10, 11, 12]]


def test_an_empty_corpus_is_an_error() -> None:
    empty = TrainingData("none", (), *(np.zeros(0, np.int64),) * 2, np.zeros((0, 0), np.int64))
    with pytest.raises(ValueError, match="the corpus of none is empty"):
        Corpus(empty)


def test_mining_refuses_what_makes_no_sense() -> None:
    data = random_data()
    for window, message in (
        ({"depth": 0}, "depth must be a whole number >= 1"),
        ({"start": 5, "stop": 5}, "stop must be a whole number >= 6"),
        ({"depth": 9, "stop": 8}, "the window has only 8 places"),
        ({"margin": -0.1}, "margin must be at least 0"),
        ({"margin": float("nan")}, "margin must be at least 0"),
        ({"min_score": 0.5, "max_score": 0.4}, "is below min_score"),
    ):
        with pytest.raises(ValueError, match=message):
            mined(data, **window)
    with pytest.raises(ValueError, match="Did you mean 'pad_random'"):
        mined(data, "pad_randomly")
    corpus = Corpus(data)
    nan = DenseSource(torch.full((corpus.size, 4), torch.nan), name="broken")
    with pytest.raises(ValueError, match="NaN"):
        mine(corpus, nan, Window(1), shortage="fewer", rng=np.random.default_rng(0))


def test_mining_agrees_with_sentence_transformers() -> None:
    st = pytest.importorskip("sentence_transformers")
    util = pytest.importorskip("sentence_transformers.util")
    from datasets import Dataset, disable_progress_bars, enable_progress_bars
    from sentence_transformers.models import StaticEmbedding

    from nsbench.benchmarks.encoders import encode_texts, encoders

    words = [f"word{i}" for i in range(30)]
    rng = np.random.default_rng(0)
    texts = sorted({" ".join(rng.choice(words, size=4)) for _ in range(120)})[:100]
    data = data_of(texts, [(i, i + 50) for i in range(50)])
    encoder = encoders.make("static", dimension=12).build(data.texts, 0)
    corpus = Corpus(data, "all")
    embeddings = torch.from_numpy(encode_texts(encoder, data.texts))[corpus.text]
    source = DenseSource(embeddings, name="static")
    # A margin puts the anchor itself out of their reach, as it is out of ours by its text.
    window = Window(depth=3, stop=100, relative_margin=0.05)
    found = mine(corpus, source, window, shortage="drop", rng=rng)

    table = next(encoder.parameters()).detach().numpy()
    modules = [StaticEmbedding(encoder.tokenizer, table)]
    model = st.SentenceTransformer(modules=modules, device="cpu")
    pairs = Dataset.from_dict({"a": texts[:50], "p": texts[50:]})
    disable_progress_bars()
    theirs = util.mine_hard_negatives(
        pairs,
        model,
        corpus=texts,
        relative_margin=0.05,
        num_negatives=3,
        range_max=100,
        sampling_strategy="top",
        output_format="n-tuple",
        verbose=False,
    )
    enable_progress_bars()
    wanted = {row["a"]: [row[f"negative_{i}"] for i in (1, 2, 3)] for row in theirs}
    kept = (~found.dropped).nonzero()[0]
    ours = {texts[row]: [texts[i] for i in found.ids[row]] for row in kept}
    assert len(ours) > 10
    assert ours == wanted


# --- BM25 -----------------------------------------------------------------------------------------

TEXTS = ["the red cat sleeps", "a red dog", "red red red cat", "nobody swims here", "dog and cat"]


def bm25_by_hand(query: str, document: str, k1: float, b: float) -> float:
    """Lucene's BM25: idf * tf / (tf + k1 (1 - b + b length / mean length))."""
    stop = {"the", "a", "and", "here"} & {"the", "a", "and"}
    words = [[w for w in t.split() if w not in stop and len(w) > 1] for t in TEXTS]
    mean = sum(map(len, words)) / len(words)
    doc = words[TEXTS.index(document)]
    total = 0.0
    for word in words[TEXTS.index(query)]:
        df = sum(word in other for other in words)
        idf = np.log(1 + (len(words) - df + 0.5) / (df + 0.5))
        tf = doc.count(word)
        total += idf * tf / (tf + k1 * (1 - b + b * len(doc) / mean))
    return float(total)


def test_bm25_scores_are_those_by_hand() -> None:
    index = Bm25(TEXTS, k1=0.9, b=0.4)
    scores = index.scores(np.arange(5))
    for i, query in enumerate(TEXTS):
        for j, document in enumerate(TEXTS):
            assert scores[i, j] == pytest.approx(bm25_by_hand(query, document, 0.9, 0.4), rel=1e-5)


def test_bm25_ranks_by_score_then_number_and_leaves_out_the_unlike() -> None:
    source = LexicalSource(Bm25(TEXTS))
    scores, ids = source.rank(np.arange(5), 3)
    full = source.index.scores(np.arange(5))
    for i in range(5):
        order = sorted((j for j in range(5) if full[i, j] > 0), key=lambda j: (-full[i, j], j))[:3]
        assert ids[i].tolist() == order + [-1] * (3 - len(order))
        np.testing.assert_array_equal(scores[i, : len(order)], full[i, order])
    left, right = np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5)
    np.testing.assert_array_equal(source.pairs(left, right), full.ravel())


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("english", "dogs running", "dog runs"),
        ("german", "die Häuser brennen", "ein Haus brennt"),
        ("russian", "красные кошки", "красная кошка"),
    ],
)
def test_bm25_stemming_joins_word_forms(language: str, one: str, other: str) -> None:
    texts = [one, other, "xyz"]
    assert Bm25(texts, stopwords="none").scores(np.array([0]))[0, 1] == 0
    stemmed = Bm25(texts, stopwords="none", stemmer=language)
    assert stemmed.scores(np.array([0]))[0, 1] > 0


def test_bm25_stemmers_are_those_of_the_library() -> None:
    stemmer = pytest.importorskip("Stemmer")
    assert set(STEMMERS) - {"none"} <= set(stemmer.algorithms())


def test_bm25_says_what_is_missing_for_a_stemmer(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["dogs running", "dog runs", "nothing else"]
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    with pytest.raises(ModuleNotFoundError, match="pip install PyStemmer"):
        Bm25(texts, stemmer="english")


# --- anchors with very many known positives


class Counting:
    """A source that counts the entries of its rankings."""

    def __init__(self, base: DenseSource) -> None:
        self.base, self.name, self.entries = base, base.name, 0

    def rank(self, queries: Any, k: int) -> Any:
        self.entries += len(queries) * k
        return self.base.rank(queries, k)

    def pairs(self, left: Any, right: Any) -> Any:
        return self.base.pairs(left, right)


def hub_data(hubs: list[int], ordinary: int) -> TrainingData:
    """Ordinary pairs, and anchors with as many positives as are given."""
    texts = [f"{kind} {i}" for i in range(ordinary) for kind in ("anchor", "positive")]
    pairs = [(2 * i, 2 * i + 1) for i in range(ordinary)]
    for hub, count in enumerate(hubs):
        anchor = len(texts)
        texts += [f"hub {hub}", *(f"good {hub} {i}" for i in range(count))]
        pairs += [(anchor, anchor + 1 + i) for i in range(count)]
    return data_of(texts, pairs)


def test_many_positives_of_one_anchor_do_not_widen_the_rankings_of_all() -> None:
    cost, size = {}, {}
    for hubs in ([800], [300, 500]):
        corpus = Corpus(hub_data(hubs, 400), "all")
        source = Counting(dense(corpus))
        window = Window(depth=5, stop=20)
        rng = np.random.default_rng(0)
        found = mine(corpus, source, window, shortage="fewer", rng=rng)
        cost[len(hubs)], size[len(hubs)] = source.entries, found.codes.shape[1]
        assert (found.ids >= 0).all()
        assert sum(found.rejected.values()) == found.codes.size + found.passed
        again = Mined.of(found.arrays(), "fewer")
        assert again.rejected == found.rejected
    # 400 ordinary anchors of 121 places, and the hubs of at most 20 + 2 * 800 + 1: not 821 for all.
    assert cost[1] <= 400 * 121 + 1621
    assert cost[2] <= 400 * 121 + 621 + 1021
    assert size[1] == size[2] == 121


@pytest.mark.parametrize("hubs", [[150], [101, 99, 300], [250, 260]])
@pytest.mark.parametrize("among", ["all", "documents"])
def test_anchors_with_many_positives_get_what_loops_find(hubs: list[int], among: str) -> None:
    data = hub_data(hubs, 30)
    corpus = Corpus(data, among)
    table = dense(corpus).embeddings.clone()
    anchor, positive = (torch.from_numpy(x) for x in (corpus.anchor, corpus.positive))
    table[positive] = table[anchor] + 0.1 * table[positive]  # positives lead every ranking
    source = DenseSource(table, corpus.candidates, name="test")
    embeddings = source.embeddings.double()
    window = Window(start=1, stop=9, depth=6)
    found = mine(corpus, source, window, shortage="fewer", rng=np.random.default_rng(0))
    known = {(int(a), int(b)) for a, b in zip(corpus.anchor, corpus.positive, strict=True)}
    candidates = set(corpus.candidates.tolist())
    for row in [0, 5, *range(30, data.rows, 37)]:
        own = int(corpus.anchor[row])
        barred = {own, *(x for pair in known if own in pair for x in pair)}
        cosine = (embeddings @ embeddings[own]).numpy()
        order = sorted(candidates - barred, key=lambda j: -cosine[j])
        assert corpus.text[data.group[found.ids[row]]].tolist() == corpus.text[order[1:7]].tolist()
        assert found.ranks[row].tolist() == list(range(1, 7))


def test_a_corpus_of_known_positives_only_leaves_empty_places() -> None:
    data = hub_data([150], 1)
    found = mined(data, stop=20, depth=5)
    hub = found.ids[1:]
    assert (np.sort(data.group[hub[:, :2]], axis=1) == [0, 1]).all()
    assert (hub[:, 2:] == -1).all()
