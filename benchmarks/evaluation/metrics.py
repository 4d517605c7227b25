"""Metrics of embeddings: correlation with graded pairs, accuracy on labelled texts."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.difficulty.geometry import unit

BLOCK = 4096
STEPS = 300


def pair_metrics(
    first: NDArray[Any], second: NDArray[Any], gold: Sequence[float]
) -> tuple[dict[str, float], str]:
    """Correlations of similarities with gold scores, by the names and formulas of mteb.

    Cosine is ``1 - |a - b|^2 / 2`` of the unit vectors, rounded to float32 as mteb's is, so that
    embeddings tie that are equal but for rounding, such as two sums of the same words.

    Args:
        first: ``(n, d)`` embeddings of the first texts.
        second: ``(n, d)`` embeddings of the second texts.
        gold: n scores, higher is more similar.

    Returns:
        The metrics, in [-1, 1]; and a reason where a correlation is NaN because one side is
        constant or there are fewer than two pairs, else an empty string.
    """
    blocks = []
    for i in range(0, len(first), BLOCK):
        a, b = (np.asarray(x[i : i + BLOCK], dtype=np.float64) for x in (first, second))
        cosine = 1.0 - np.square(unit(a) - unit(b)).sum(axis=1) / 2.0
        cosine = cosine.astype(np.float32).astype(np.float64)
        gap = a - b
        blocks.append((cosine, -np.abs(gap).sum(axis=1), -np.sqrt(np.square(gap).sum(axis=1))))
    columns = [np.concatenate(c) for c in zip(*blocks, strict=True)] or [np.empty(0)] * 3
    metrics: dict[str, float] = {}
    reason = ""
    names = ("cosine", "manhattan", "euclidean")
    for name, similarity in zip(names, columns, strict=True):
        pearson, spearman, why = _correlations(np.asarray(gold, dtype=np.float64), similarity)
        metrics[f"{name}_pearson"], metrics[f"{name}_spearman"] = pearson, spearman
        reason = reason or (why and f"{name}: {why}")
    metrics["pearson"], metrics["spearman"] = metrics["cosine_pearson"], metrics["cosine_spearman"]
    return metrics, reason


def _correlations(
    gold: NDArray[np.float64], similarity: NDArray[np.float64]
) -> tuple[float, float, str]:
    if len(gold) < 2:
        return math.nan, math.nan, f"{len(gold)} pairs have no correlation"
    for what, values in (("gold score", gold), ("similarity", similarity)):
        if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            return math.nan, math.nan, f"every pair has the same {what}, {values[0]:.6g}"
    pearson = _pearson(gold, similarity)
    return pearson, float(np.corrcoef(_ranks(gold), _ranks(similarity))[1, 0]), ""


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """As `scipy.stats.pearsonr`, to the bit; importing that takes longer than a short training."""
    units = []
    for values in (x, y):
        centred = values - values.mean(keepdims=True)
        largest = np.abs(centred).max()
        units.append(centred / (largest * np.linalg.norm(centred / largest, axis=0)))
    found = float(np.clip(units[0] @ units[1], -1.0, 1.0))
    return float(np.round(found)) if len(x) == 2 else found


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values at the mean of theirs; all are NaN where a value is."""
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends: NDArray[np.int64] = counts.cumsum()
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[place]
    return ranks


def label_metrics(
    train: NDArray[Any],
    train_labels: Sequence[int],
    test: NDArray[Any],
    test_labels: Sequence[int],
) -> tuple[dict[str, float], str]:
    """Accuracy and macro F1 of a logistic regression on standardised unit vectors.

    Standardised, so that a collapsed encoder is judged by the classes it separates and not by how
    little of the sphere it uses. Deterministic.

    Args:
        train: ``(n, d)`` embeddings to fit on.
        train_labels: n labels.
        test: ``(m, d)`` embeddings to score.
        test_labels: m labels; one that training lacks counts as missed.

    Returns:
        The metrics, and a reason where they are NaN or the fit was stopped early.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kinds = len(set(train_labels))
    if kinds < 2 or not test_labels:
        why = f"{kinds} kinds of labels to fit on and {len(test_labels)} texts to score"
        return {"accuracy": math.nan, "macro_f1": math.nan}, why
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=STEPS, tol=1e-3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        predicted = classifier.fit(unit(train), list(train_labels)).predict(unit(test))
    stopped = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    metrics = {
        "accuracy": float(accuracy_score(test_labels, predicted)),
        "macro_f1": float(f1_score(test_labels, predicted, average="macro", zero_division=0.0)),
    }
    return metrics, f"the classifier was stopped after {STEPS} steps" if stopped else ""
