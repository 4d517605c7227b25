"""Distribution of embeddings on the sphere: alignment, uniformity, anisotropy and the spectrum.

Source: Wang and Isola 2020, Understanding Contrastive Representation Learning through Alignment
and Uniformity, section 4. https://arxiv.org/abs/2005.10242 (alignment with exponent 2, uniformity
with t = 2); Roy and Vetterli 2007, The effective rank.

Everything is measured on L2-normalised embeddings in float64. The pairwise parts take all pairs of
at most `LIMIT` texts, chosen by the texts' own hashes: no clock, no order, no generator.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.records import Score

Floats = NDArray[np.float64]

LIMIT = 2000
SIMILARITY_BINS = 80
UNIFORMITY_T = 2.0


def unit(embeddings: NDArray[Any]) -> Floats:
    """Rows scaled to length 1, in float64; a zero row stays zero.

    Args:
        embeddings: ``(n, d)``.

    Returns:
        ``(n, d)``.

    Raises:
        ValueError: If it is not two-dimensional or holds a value that is not finite.
    """
    z = np.asarray(embeddings, dtype=np.float64)
    if z.ndim != 2:
        raise ValueError(f"embeddings must have shape (n, d), got {z.shape}")
    if not np.isfinite(z).all():
        bad = int((~np.isfinite(z)).any(axis=1).sum())
        raise ValueError(f"{bad} of {len(z)} embeddings hold a value that is not finite")
    largest = np.abs(z).max(axis=1, keepdims=True, initial=0.0)  # (n, 1), against overflow
    z = z / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(z, axis=1, keepdims=True)  # (n, 1)
    return z / np.where(length > 0, length, 1.0)


def alignment(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Mean squared distance of positive pairs on the sphere.

    Args:
        first: ``(n, d)`` embeddings of the pairs' first texts.
        second: ``(n, d)`` embeddings of their second texts.

    Returns:
        In [0, 4], smaller is closer; NaN without a pair.

    Raises:
        ValueError: If the shapes differ.
    """
    a, b = unit(first), unit(second)
    if a.shape != b.shape:
        raise ValueError(f"alignment needs pairs, got shapes {a.shape} and {b.shape}")
    if len(a) == 0:
        return float("nan")
    return float(np.square(a - b).sum(axis=1).mean())


def uniformity(embeddings: NDArray[Any]) -> float:
    """Log of the mean Gaussian potential over distinct pairs of rows.

    The caller drops duplicate texts first, see `spread`.

    Args:
        embeddings: ``(n, d)``; memory is ``n * n`` float64.

    Returns:
        In [-8, 0], smaller is more uniform: 0 when all rows coincide, about ``-4 + 8 / d`` for
        points drawn evenly from the sphere; NaN with fewer than two rows.
    """
    z = unit(embeddings)
    n = len(z)
    if n < 2:
        return float("nan")
    norms = np.square(z).sum(axis=1)  # (n,), 1, or 0 for a zero row
    squared = norms[:, None] + norms[None, :] - 2.0 * (z @ z.T)  # (n, n)
    potential = np.exp(-UNIFORMITY_T * np.maximum(squared, 0.0))  # (n, n)
    mean = (potential.sum() - np.trace(potential)) / (n * (n - 1))
    return min(0.0, float(np.log(mean)))


def anisotropy(embeddings: NDArray[Any]) -> float:
    """Mean cosine over all distinct pairs of rows; 0 on an even sphere, 1 when all coincide.

    It follows from the length of the sum of the rows, so no pair needs to be drawn.

    Returns:
        In [-1 / (n - 1), 1]; NaN with fewer than two rows.
    """
    z = unit(embeddings)
    n = len(z)
    if n < 2:
        return float("nan")
    total = np.square(z.sum(axis=0)).sum() - np.square(z).sum()
    return float(total / (n * (n - 1)))


def mean_norm(embeddings: NDArray[Any]) -> float:
    """Length of the mean unit vector, in [0, 1]; its square is the mean cosine with the diagonal.

    Returns:
        NaN without a row.
    """
    z = unit(embeddings)
    return float(np.linalg.norm(z.mean(axis=0))) if len(z) else float("nan")


def spectrum(embeddings: NDArray[Any]) -> dict[str, float]:
    """Number of directions that the centred unit vectors fill.

    With singular values s of the centred matrix and variances ``l = s ** 2``:
    ``effective_rank = exp(H(s / sum s))``, ``participation_ratio = (sum l) ** 2 / sum l ** 2``,
    both in [1, min(n, d)], and ``top1_share = max l / sum l`` in (0, 1].

    Returns:
        Those three. Rows that all coincide fill no direction: 1, 1 and 1. NaN without a row.
    """
    z = unit(embeddings)
    if z.size == 0:
        return dict.fromkeys(("effective_rank", "participation_ratio", "top1_share"), float("nan"))
    s = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)  # (min(n, d),), falling
    noise = np.finfo(np.float64).eps * max(z.shape) * np.sqrt(len(z))
    s = s[s > noise]
    if s.size == 0:
        return {"effective_rank": 1.0, "participation_ratio": 1.0, "top1_share": 1.0}
    p = s / s.sum()
    variance = np.square(s / s[0])
    return {
        "effective_rank": float(np.exp(-(p * np.log(p)).sum())),
        "participation_ratio": float(variance.sum() ** 2 / np.square(variance).sum()),
        "top1_share": float(1.0 / variance.sum()),
    }


def sample(texts: Sequence[str], limit: int = LIMIT) -> list[int]:
    """Indices of at most ``limit`` distinct texts, the same set in any order.

    Returns:
        Indices of the first occurrences, ordered by the SHA-256 of their texts.
    """
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        first.setdefault(text, i)
    by_hash = sorted(
        first, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    )
    return [first[text] for text in by_hash[:limit]]


def similarity_counts(embeddings: NDArray[Any]) -> list[int]:
    """Counts of the cosine of two different rows in 80 bins on [-1, 1].

    The picture of collapse: in a collapsed space all pairs are alike.

    Source: Yan et al. 2021, ConSERT, introduction. https://aclanthology.org/2021.acl-long.393

    Args:
        embeddings: ``(n, d)`` embeddings of distinct texts; all n (n - 1) / 2 pairs count.

    Returns:
        80 whole numbers; a value on an edge counts above it, 1 in the last bin.
    """
    z = unit(embeddings)
    counts = np.zeros(SIMILARITY_BINS, np.int64)
    for start in range(0, len(z), 512):
        cosine = z[start : start + 512] @ z.T
        row, column = np.triu_indices(len(cosine), k=start + 1, m=len(z))
        place = ((cosine[row, column] + 1) * (SIMILARITY_BINS / 2)).astype(np.int64)
        counts += np.bincount(place.clip(0, SIMILARITY_BINS - 1), minlength=SIMILARITY_BINS)
    return [int(c) for c in counts]


def spread(embeddings: NDArray[Any]) -> dict[str, float]:
    """Uniformity, anisotropy, norm of the mean vector and spectrum of distinct texts, by name."""
    return {
        "uniformity": uniformity(embeddings),
        "anisotropy": anisotropy(embeddings),
        "mean_norm": mean_norm(embeddings),
        **spectrum(embeddings),
    }


def geometry_scores(
    texts: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    split: str,
    subset: str,
) -> list[Score]:
    """All geometry of one checkpoint on one source as score rows of the task ``geometry``.

    Args:
        texts: ``(n, d)`` embeddings of distinct texts, `sample` chooses which.
        first: ``(m, d)`` embeddings of the first texts of positive pairs; m may be 0.
        second: ``(m, d)`` embeddings of the second texts.
        split: Split the texts are from.
        subset: Name of the test the texts are from.

    Returns:
        Seven rows, none of them main: there is no better or worse in them alone.
    """
    values = {name: (value, len(texts)) for name, value in spread(texts).items()}
    values["alignment"] = (alignment(first, second), len(first))
    return [
        Score("geometry", split, subset, metric, value, n_examples, main=False)
        for metric, (value, n_examples) in sorted(values.items())
    ]
