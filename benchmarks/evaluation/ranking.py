"""Retrieval metrics by query, in our own arithmetic: nDCG@10, MRR@10, recall@10 and recall@100.

Source: trec_eval, as pytrec_eval gives it to mteb: gains are grades, discounts log2(rank + 1),
documents of one score are ordered by falling id. https://github.com/usnistgov/trec_eval
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nsbench.benchmarks.data import Ranking
from nsbench.benchmarks.records.record import QUERY_COLUMNS

METRICS = ("ndcg_at_10", "mrr_at_10", "recall_at_10", "recall_at_100")
"""Metrics that are kept of every query."""
DEPTH = 100
_AT_ONCE = 1 << 24  # similarities
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class QueryScores:
    """Scores of one test by query.

    Attributes:
        task: The test.
        split: Its split.
        subset: Its subset.
        queries: Q ids.
        values: ``(Q,)`` of each of `METRICS`.
    """

    task: str
    split: str
    subset: str
    queries: Sequence[str]
    values: Mapping[str, Doubles]

    def means(self) -> dict[str, float]:
        """Mean of every metric over the queries; all but MRR rounded to 5 decimals, as mteb's."""
        count = max(1, len(self.queries))
        means = {name: sum(v.tolist()) / count for name, v in self.values.items()}
        return {n: v if n.startswith("mrr") else round(v, 5) for n, v in means.items()}


def ranking_scores(
    test: Ranking, queries: NDArray[np.float32], documents: NDArray[np.float32]
) -> QueryScores:
    """Score a retrieval test by cosines.

    Args:
        test: The test.
        queries: ``(Q, d)`` embeddings of its queries.
        documents: ``(D, d)`` embeddings of its documents.
    """
    left, right = (_unit(x) for x in (queries, documents))
    step = max(1, _AT_ONCE // max(1, len(right)))
    parts = range(0, len(left), step)
    return ranked_by(test, (left[low : low + step] @ right.T for low in parts))


def ranked_by(test: Ranking, similarity: Iterable[NDArray[np.float32]]) -> QueryScores:
    """Score a retrieval test by ``(n, D)`` similarities of some queries at a time, in order."""
    names = list(test.documents)
    order = by_falling_id(names)
    found = [[names[i] for i in best(row, order, DEPTH)] for part in similarity for row in part]
    ranked = dict(zip(test.queries, found, strict=True))
    return scored("test", test.name, ranked, test.relevant)


def by_falling_id(names: Sequence[str]) -> NDArray[np.int64]:
    """``(D,)`` place of each document in the order of falling ids."""
    order = sorted(range(len(names)), key=names.__getitem__, reverse=True)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return place


def scored(
    split: str,
    name: str,
    ranked: Mapping[str, Sequence[str]],
    relevant: Mapping[str, Mapping[str, float]],
) -> QueryScores:
    """Score rankings of documents, best first, `DEPTH` at least, by the grades of those judged."""
    rows = [metrics_of(ranked[query], relevant[query]) for query in ranked]
    table = np.array(rows, np.float64).reshape(len(rows), len(METRICS))
    values = dict(zip(METRICS, table.T, strict=True))
    return QueryScores(name, split, "default", list(ranked), values)


def query_table(found: Iterable[QueryScores]) -> pd.DataFrame:
    """Return scores by query as a table with `QUERY_COLUMNS`."""
    parts = [
        pd.DataFrame(
            {
                "task": one.task,
                "split": one.split,
                "subset": one.subset,
                "query": list(one.queries),
                "metric": metric,
                "value": values,
            }
        )
        for one in found
        for metric, values in one.values.items()
    ]
    return pd.concat(parts, ignore_index=True)[list(QUERY_COLUMNS)]


def best(scores: NDArray[np.float32], order: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the k best columns, best first; of equal ones those with the lower ``order``."""
    k = min(k, len(scores))
    if not k:
        return np.zeros(0, np.int64)
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    near = np.flatnonzero(scores >= least)
    out: NDArray[np.int64] = near[np.lexsort((order[near], -scores[near]))[:k]]
    return out


def metrics_of(ranked: Sequence[str], grades: Mapping[str, float]) -> tuple[float, ...]:
    """Values of `METRICS` of one query, by the documents' grades; 0 or less is not relevant."""
    gains = [max(0.0, float(grades.get(document, 0))) for document in ranked[:DEPTH]]
    ideal = sorted((g for g in grades.values() if g > 0), reverse=True)
    discounts = 1 / np.log2(np.arange(10) + 2)
    dcg = float((np.array(gains[:10]) * discounts[: len(gains[:10])]).sum())
    top = float((np.array(ideal[:10], np.float64) * discounts[: len(ideal[:10])]).sum())
    first = next((place for place, gain in enumerate(gains[:10], 1) if gain > 0), 0)
    hits = [sum(gain > 0 for gain in gains[:k]) / max(1, len(ideal)) for k in (10, DEPTH)]
    return (dcg / top if top else 0.0, 1 / first if first else 0.0, *hits)


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    out: NDArray[np.float32] = values / np.maximum(lengths, 1e-12)
    return out
