"""Retrieval metrics by query, against trec_eval and plain mteb."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nsbench.benchmarks.data import Ranking
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import evaluate, evaluate_dev
from nsbench.benchmarks.evaluation.ranking import METRICS, query_table, ranking_scores
from nsbench.benchmarks.mining.bm25 import Bm25

OFFICIAL = ("ndcg_cut_10", "recip_rank", "recall_10", "recall_100")


def random_test(seed: int, ties: bool) -> tuple[Ranking, Any, Any]:
    rng = np.random.default_rng(seed)
    documents = {f"d{i}": f"document {i}" for i in range(150)}
    queries = {f"q{i}": f"query {i}" for i in range(12)}
    relevant = {
        query: {f"d{d}": int(rng.integers(0, 4)) for d in rng.choice(150, 20, replace=False)}
        for query in queries
    }
    left = rng.normal(size=(12, 8)).astype(np.float32)
    right = rng.normal(size=(150, 8)).astype(np.float32)
    if ties:
        right[10:40] = right[10]
        right[100:] = right[3]
    return Ranking("toy", queries, documents, relevant), left, right


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_metrics_are_those_of_trec_eval(seed: int, ties: bool) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    test, left, right = random_test(seed, ties)
    found = ranking_scores(test, left, right)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right)]
    similarity = unit[0] @ unit[1].T
    run = {
        query: {d: float(similarity[i, j]) for j, d in enumerate(test.documents)}
        for i, query in enumerate(test.queries)
    }
    judge = pytrec_eval.RelevanceEvaluator(
        test.relevant, {"ndcg_cut.10", "recip_rank", "recall.10,100"}
    )
    official = judge.evaluate(run)
    for ours, theirs in zip(METRICS, OFFICIAL, strict=True):
        for place, query in enumerate(found.queries):
            value = official[query][theirs]
            if theirs == "recip_rank" and value < 0.1:
                value = 0.0  # trec_eval's has no depth
            assert found.values[ours][place] == pytest.approx(value, abs=1e-12)


def model_of(test: Ranking, left: Any, right: Any) -> EvaluatedModel:
    table = dict(zip(test.queries.values(), left, strict=True))
    table |= dict(zip(test.documents.values(), right, strict=True))
    encode = lambda texts: np.stack([table[t] for t in texts])  # noqa: E731
    return EvaluatedModel("me/toy", "r", left.shape[1], encode)


def test_an_own_retrieval_test_is_scored_and_chosen_by() -> None:
    test, left, right = random_test(3, False)
    model = model_of(test, left, right)
    found = evaluate(model, own_tests=[test])
    by_query = query_table(found.queries)
    assert set(by_query["query"]) == set(test.queries)
    for score in found.scores:
        mean = by_query[by_query["metric"] == score.metric]["value"].mean()
        assert score.value == pytest.approx(mean, abs=5e-6)
    assert [s.metric for s in found.scores if s.main] == ["ndcg_at_10"]
    main = next(s.value for s in found.scores if s.main)
    assert evaluate_dev(model, test).value == main


def test_words_alone_can_rank() -> None:
    documents = {"a": "cats chase mice", "b": "dogs chase cats", "c": "rain in spain"}
    queries = {"x": "spain", "y": "dogs"}
    test = Ranking("words", queries, documents, {"x": {"c": 1}, "y": {"b": 1}})
    lexical = lambda texts: Bm25(texts).search  # noqa: E731
    model = EvaluatedModel("me/words", "r", 4, lambda t: np.zeros((len(t), 4)), lexical=lexical)
    found = evaluate(model, own_tests=[test])
    assert {s.metric: s.value for s in found.scores}["ndcg_at_10"] == 1.0


def test_words_alone_are_not_scored_on_pairs(need_tasks: Any) -> None:
    need_tasks("STS12")
    lexical = lambda texts: Bm25(texts).search  # noqa: E731
    model = EvaluatedModel("me/words", "r", 4, lambda t: np.zeros((len(t), 4)), lexical=lexical)
    with pytest.raises(ValueError, match="scored on retrieval tasks only, not on STS12"):
        evaluate(model, ["STS12"])


NAME = "sentence-transformers/all-MiniLM-L6-v2"


def scored_like_mteb(model: EvaluatedModel, plain: Any, task: str) -> None:
    """Compare with plain mteb, which rounds to 5 decimals."""
    from tools.plain_mteb import plain_scores, plain_tasks

    wanted = plain_scores(plain, plain_tasks([task]))
    found = evaluate(model, [task])
    main = next(s for s in found.scores if s.main)
    assert main.value == pytest.approx(wanted[task], abs=1e-6)
    (by_query,) = found.queries
    assert len(by_query.queries) == main.n_examples
    for score in found.scores:
        if score.metric in METRICS:
            assert by_query.means()[score.metric] == pytest.approx(score.value, abs=1e-9)


@pytest.mark.parametrize(
    "task",
    [
        "LIMITSmallRetrieval",
        # half an hour of one core, two thirds of it mteb's
        pytest.param("SciFact", marks=pytest.mark.slow),
    ],
)
def test_untrained_minilm_is_scored_as_plain_mteb_scores_it(
    need_tasks: Callable[..., None], task: str
) -> None:
    need_tasks(task)
    from sentence_transformers import SentenceTransformer

    from nsbench.benchmarks.encoders import encode_texts, encoders

    encoder = encoders.make("transformer", source=NAME).build((), 0)
    model = EvaluatedModel("me/minilm", "r", 384, lambda texts: encode_texts(encoder, texts))
    scored_like_mteb(model, SentenceTransformer(NAME, device="cpu"), task)


def test_scifact_is_scored_as_plain_mteb_scores_it(need_tasks: Callable[..., None]) -> None:
    """The static table of MiniLM, which takes seconds where MiniLM takes minutes."""
    need_tasks("SciFact")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    from nsbench.benchmarks.encoders import encode_texts, encoders

    encoder = encoders.make("static", source=NAME, max_length=512).build((), 0)
    tokenizer = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    tokenizer.enable_truncation(512)
    table = StaticEmbedding(tokenizer, embedding_weights=encoder.table.detach().numpy())
    model = EvaluatedModel("me/static", "r", 384, lambda texts: encode_texts(encoder, texts))
    scored_like_mteb(model, SentenceTransformer(modules=[table], device="cpu"), "SciFact")
