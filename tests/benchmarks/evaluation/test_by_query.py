"""Scores by query of mteb's tasks: retrieval and reranking, identical ids, several languages."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import Evaluation, evaluate
from nsbench.benchmarks.evaluation.mteb import adapter, tasks
from nsbench.benchmarks.evaluation.ranking import METRICS
from nsbench.samplers._cache import clear_caches

NAMES = [f"d{i:02d}" for i in range(12)]
"""Documents; the first five are queries too, under the same ids."""
RELEVANT = {f"d{i:02d}": {f"d{i + 1:02d}": 1, f"d{(i + 5) % 12:02d}": 2} for i in range(5)}


def encode(texts: Any) -> Any:
    """A vector for each text, by its characters."""
    return np.array(
        [np.random.default_rng(list(map(ord, t))).normal(size=6) for t in texts], np.float32
    )


def split(languages: str = "") -> dict[str, Any]:
    """A split as mteb holds it: every query is a document, and has six candidates."""
    from datasets import Dataset

    rows = [{"id": n, "text": f"text {n} {languages}", "title": ""} for n in NAMES]
    queries = [{k: row[k] for k in ("id", "text")} for row in rows[:5]]
    ranked = {q: sorted({q, *RELEVANT[q], *NAMES[6:9]}) for q in RELEVANT}
    return {
        "queries": Dataset.from_list(queries),
        "corpus": Dataset.from_list(rows),
        "relevant_docs": RELEVANT,
        "top_ranked": ranked,
    }


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Let mteb know one of its mock tasks with other data."""

    def register(name: str, subsets: tuple[str, ...] = ("default",), **attributes: Any) -> Any:
        adapter.mteb_module()
        with adapter.contained():
            mocks = importlib.import_module("mteb.mocks.mock_tasks")
            registry = importlib.import_module("mteb.get_tasks")
        base = next(c for c in vars(mocks).values() if _named(c) == name)
        reranks = "Reranking" in name

        def load_data(self: Any, **_: Any) -> None:
            self.dataset = {}
            for subset in subsets:
                part = split(subset) | ({} if reranks else {"top_ranked": None})
                self.dataset[subset] = dict.fromkeys(self.metadata.eval_splits, part)
            self.data_loaded = True

        kind = type(base.__name__, (base,), {"load_data": load_data, **attributes})
        known = registry._TASKS_REGISTRY | {name: kind}
        monkeypatch.setattr(registry, "_TASKS_REGISTRY", known)
        monkeypatch.setattr(tasks, "_task_classes", lambda: known)
        monkeypatch.setattr(tasks, "missing_data", lambda requests: [])
        clear_caches(tasks.__name__)
        return kind

    return register


def _named(found: Any) -> str:
    return str(getattr(getattr(found, "metadata", None), "name", ""))


def run(name: str, **given: Any) -> Evaluation:
    return evaluate(EvaluatedModel("me/words", "r", 6, encode), [name], geometry=False, **given)


def agree(found: Evaluation) -> Iterator[tuple[str, str]]:
    """Hold the means over queries to mteb's scores; give split and subset of each."""
    wanted = {(s.split, s.subset, s.metric): s.value for s in found.scores}
    for by_query in found.queries:
        assert sorted(by_query.queries) == sorted(RELEVANT)
        means = by_query.means()
        for metric in METRICS:
            key = by_query.split, by_query.subset, metric
            if key in wanted:
                assert means[metric] == pytest.approx(wanted[key], abs=1e-5), key
        yield by_query.split, by_query.subset


@pytest.mark.parametrize("name", ["MockRetrievalTask", "MockRerankingTask"])
def test_means_over_queries_are_mtebs_scores(name: str, made: Callable[..., Any]) -> None:
    made(name)
    found = run(name)
    assert ("test", "default") in list(agree(found))
    values = np.concatenate([q.values["ndcg_at_10"] for q in found.queries])
    assert values.std() > 0


def test_a_query_that_is_a_document_is_not_its_own_answer(made: Callable[..., Any]) -> None:
    made("MockRetrievalTask")
    plain = run("MockRetrievalTask")
    made("MockRetrievalTask", ignore_identical_ids=True)
    without = run("MockRetrievalTask")
    assert list(agree(plain))
    assert list(agree(without))
    for one, two in zip(plain.queries, without.queries, strict=True):
        first, second = one.values["mrr_at_10"], two.values["mrr_at_10"]
        assert (second > first).all(), "each query's own text came first, and is gone"


def test_every_language_that_is_asked_for_has_its_queries(made: Callable[..., Any]) -> None:
    name = "MockMultilingualRetrievalTask"
    made(name, subsets=("eng", "fra"))
    both = run(name, languages=("eng", "fra"))
    assert {subset for _, subset in agree(both)} == {"eng", "fra"}
    by_subset = {q.subset: q.values["ndcg_at_10"] for q in both.queries if q.split == "test"}
    assert not np.array_equal(by_subset["eng"], by_subset["fra"])
    assert {subset for _, subset in agree(run(name))} == {"eng"}
