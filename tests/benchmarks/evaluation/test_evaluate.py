"""Evaluation on own tests, without mteb; real tasks stand in test_mteb_adapter.py."""

import hashlib
import math

import numpy as np
import pytest
from running import python

from nsbench.benchmarks.data import LabelledTexts, Pairs
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel, SentenceCache
from nsbench.benchmarks.evaluation.evaluate import check_tasks, evaluate, evaluate_dev

WORDS = [
    *("red", "green", "blue", "dog", "cat", "bird"),
    *("runs", "sleeps", "sings", "house", "tree", "car"),
]


def word_vector(word, d, seed):
    digest = hashlib.sha256(f"{seed} {word}".encode()).digest()
    return np.random.default_rng(list(digest)).normal(size=d)


def bag_of_words(texts, d=32, seed=0):
    """A static encoder: the mean of fixed random word vectors."""
    out = [np.mean([word_vector(w, d, seed) for w in t.split()], axis=0) for t in texts]
    return np.asarray(out, dtype=np.float32).reshape(len(texts), d)


class Counting:
    """An encoder that remembers what it was asked."""

    def __init__(self, encode=bag_of_words):
        self.encode = encode
        self.seen = []

    def __call__(self, texts):
        self.seen.extend(texts)
        return self.encode(texts)


def model(encode=bag_of_words, name="nsbench/cell", revision="abc123", dimension=32):
    return EvaluatedModel(name, revision, dimension, encode)


def overlap_pairs(name="planted-sts", n=60, seed=0):
    """Pairs of three words, graded by how many they share."""
    rng = np.random.default_rng(seed)
    first, second, score = [], [], []
    for i in range(n):
        words = rng.permutation(WORDS)
        shared = i % 4
        first.append(" ".join(words[:3]))
        second.append(" ".join([*words[:shared], *words[3 : 6 - shared]]))
        score.append(float(shared))
    return Pairs(name, tuple(first), tuple(second), tuple(score))


def meanings(name="planted-classes", n=90, seed=0):
    rng = np.random.default_rng(seed)
    labels = [i % 3 for i in range(n)]
    texts = [f"{WORDS[y]} {rng.choice(WORDS[6:])}" for y in labels]
    cut = 2 * n // 3
    return LabelledTexts(
        name, tuple(texts[:cut]), tuple(labels[:cut]), tuple(texts[cut:]), tuple(labels[cut:])
    )


def by_metric(scores, task):
    return {s.metric: s for s in scores if s.task == task}


def test_evaluate_scores_own_tests_and_geometry():
    found = evaluate(model(), own_tests=[overlap_pairs(), meanings()])
    pairs = by_metric(found.scores, "planted-sts")
    assert set(pairs) == {"cosine_spearman", "cosine_pearson"}
    assert pairs["cosine_spearman"].value > 0.85
    assert pairs["cosine_spearman"].main
    assert not pairs["cosine_pearson"].main
    assert pairs["cosine_spearman"].n_examples == 60
    classes = by_metric(found.scores, "planted-classes")
    assert classes["accuracy"].value == 1.0
    assert classes["accuracy"].main
    assert classes["macro_f1"].value == 1.0
    assert classes["accuracy"].n_examples == 30
    shape = by_metric(found.scores, "geometry")
    assert {s.subset for s in shape.values()} == {"planted-sts"}
    assert -4 < shape["uniformity"].value < 0
    assert found.info["geometry"] == "planted-sts"
    assert found.info["engine"] == {"planted-sts": "own", "planted-classes": "own"}
    assert found.info["aggregation"] == {"planted-sts": "all"}
    assert not any(note.startswith("planted") for note in found.info["notes"])


def test_geometry_aligns_only_close_pairs_of_different_texts():
    # the top fifth of the scores are the pairs that share all three words: equal texts
    found = evaluate(model(), own_tests=[overlap_pairs()])
    assert math.isnan(by_metric(found.scores, "geometry")["alignment"].value)
    assert "no pair of close texts" in found.info["notes"]["geometry/test/planted-sts"]
    turned = Pairs("p", ("red dog", "red cat"), ("dog red", "blue bird"), (5.0, 0.0))
    found = evaluate(model(), own_tests=[turned])
    row = by_metric(found.scores, "geometry")["alignment"]
    assert row.value == pytest.approx(0, abs=1e-12)  # word order is nothing to a bag of words
    assert row.n_examples == 1


def test_every_distinct_sentence_is_encoded_once():
    encode = Counting()
    tests = [overlap_pairs(), overlap_pairs("again"), meanings()]
    found = evaluate(model(encode), own_tests=tests)
    assert len(encode.seen) == len(set(encode.seen)) == found.info["sentences"]
    texts = {*tests[0].sentence1, *tests[0].sentence2, *tests[2].train_texts, *tests[2].test_texts}
    assert set(encode.seen) == texts


def test_evaluation_is_deterministic_and_follows_the_weights():
    tests = [overlap_pairs(), meanings()]
    one, two = (evaluate(model(), own_tests=tests).scores for _ in range(2))
    assert [repr(s) for s in one] == [repr(s) for s in two]
    other = model(lambda texts: bag_of_words(texts, seed=1), revision="def")
    values = [s.value for s in evaluate(other, own_tests=tests).scores]
    assert values != [s.value for s in one]


def test_a_collapsed_encoder_gives_nan_and_says_why():
    flat = model(lambda texts: np.ones((len(texts), 32), np.float32))
    found = evaluate(flat, own_tests=[overlap_pairs()])
    assert math.isnan(by_metric(found.scores, "planted-sts")["cosine_spearman"].value)
    note = found.info["notes"]["planted-sts/test/default"]
    assert note == "cosine: every pair has the same similarity, 1"
    assert by_metric(found.scores, "geometry")["effective_rank"].value == 1


def test_a_diverged_encoder_is_refused():
    def nan(texts):
        out = np.ones((len(texts), 32), np.float32)
        out[0] = np.nan
        return out

    with pytest.raises(ValueError, match=r"not finite for 1 of \d+ texts: its training diverged"):
        evaluate(model(nan), own_tests=[overlap_pairs()])


def test_an_encoder_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"to an array of shape \(\d+, 32\), not \(\d+, 8\)"):
        evaluate(model(dimension=8), own_tests=[overlap_pairs()])


def test_two_tests_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two tests are called 'planted-sts'"):
        evaluate(model(), own_tests=[overlap_pairs(), overlap_pairs()])


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'mteb'"):
        evaluate(model(), engine="mtebb")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "cell"}, "must be organisation/model, got 'cell'"),
        ({"name": "nsbench/"}, "must be organisation/model"),
        ({"revision": ""}, "must be a hash of the weights, got ''"),
        ({"revision": "../up"}, "must be a hash of the weights"),
        ({"dimension": 0}, "whole number >= 1, got 0"),
    ],
)
def test_evaluated_model_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        model(**change)


def test_sentence_cache_keeps_order_and_duplicates():
    cache = SentenceCache(model())
    texts = ["red dog", "blue cat", "red dog"]
    assert np.array_equal(cache(texts), bag_of_words(texts))
    assert np.array_equal(cache(texts[::-1]), bag_of_words(texts[::-1]))
    assert len(cache) == cache.encoded == 2
    assert cache([]).shape == (0, 32)


def test_sentence_cache_past_its_limit_encodes_and_forgets():
    encode = Counting()
    cache = SentenceCache(model(encode), limit=2)
    cache(["red dog", "blue cat"])
    texts = ["green car", "red dog", "green car"]
    for _ in range(2):
        assert np.array_equal(cache(texts), bag_of_words(texts))
    assert len(cache) == 2
    assert encode.seen == ["red dog", "blue cat", "green car", "green car"]


def test_report_is_called_before_each_test():
    names = []
    evaluate(model(), own_tests=[overlap_pairs(), meanings()], report=names.append)
    assert names == ["planted-sts", "planted-classes"]


def test_evaluate_dev_takes_pairs():
    score = evaluate_dev(model(), overlap_pairs())
    assert (score.task, score.metric, score.main) == ("planted-sts", "cosine_spearman", True)


def test_the_seven_sts_are_known_without_mteb():
    code = (
        "import sys; from nsbench.benchmarks.evaluation.evaluate import check_tasks;"
        "print(*check_tasks(['STS7', 'STS12'])); assert 'mteb' not in sys.modules;"
        "assert 'sklearn' not in sys.modules"
    )
    out = python("-c", code, check=True)
    assert out.stdout.split() == [
        *["STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICK-R"]
    ]


def test_no_tasks_need_no_mteb():
    assert check_tasks([]) == ()
