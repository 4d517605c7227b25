"""Similarities that an audit reads: of a model or of words, each fitted to the pairs in folds.

A model's similarity knows nothing of the pairs. The map of relevant components makes it see what
pairs have in common; a row is only ever judged by a map that other rows made.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.mining.words import words_of
from nsbench.benchmarks.training.projection import relevant_components

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
SHRINKAGE = 0.1
WIDTH = 256
"""Dimensions of vectors of words."""


def word_vectors(texts: Sequence[str]) -> Doubles:
    """``(T, d)`` unit vectors of weighted words of T texts, cut to their main directions.

    Source: Deerwester et al. 1990, Indexing by Latent Semantic Analysis.
    https://doi.org/10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = [words_of(text) for text in texts]
    if not any(words):
        return np.zeros((len(texts), 1))
    matrix = TfidfVectorizer(analyzer=list, sublinear_tf=True).fit_transform(words)
    size = min(WIDTH, min(matrix.shape) - 1)
    if size < 1:
        return unit(matrix.toarray())
    return unit(TruncatedSVD(size, random_state=0).fit_transform(matrix))


def unit(points: Doubles) -> Doubles:
    """Rows of length 1; rows of zeros stay."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    found: Doubles = np.asarray(points, np.float64) / np.maximum(lengths, 1e-12)
    return found


def fitted(anchors: Doubles, positives: Doubles, fold: Ints) -> tuple[Doubles, Doubles]:
    """Map the vectors of every row by what the rows of the other folds have in common.

    Args:
        anchors: ``(n, d)`` vectors of the anchors.
        positives: ``(n, d)`` of the positives.
        fold: ``(n,)`` fold of each row; rows that share a text are in one.

    Returns:
        Unit vectors of both, centred.
    """
    centre = np.concatenate([anchors, positives]).mean(axis=0)
    left, right = anchors - centre, positives - centre
    out = np.zeros_like(left), np.zeros_like(right)
    for number in np.unique(fold):
        here, others = fold == number, fold != number
        gaps = (left - right)[others]
        if len(gaps) < 2 or not np.abs(gaps).max() > 0:
            linear = np.eye(left.shape[1])
        else:
            linear = relevant_components(gaps, SHRINKAGE)
        out[0][here], out[1][here] = unit(left[here] @ linear), unit(right[here] @ linear)
    return out
