"""One footing for methods that have different seeds: each is held against another on shared seeds.

What a seed does to all methods then cancels out of every difference, and the order of the methods
agrees with the difference between each of them and its baseline.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nsbench.analysis.statistics.stats import Array


def contrasts(means: Array, base: NDArray[np.int64]) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
    """Weights of the scores in each method's `Verdicts.level`, and the seeds behind it.

    A method is held against its baseline on the seeds of both, that baseline likewise against the
    group's: the baseline, of several, with the most seeds. What a seed does to all cancels out.

    Returns:
        Shape (M, M * S), a row of zeros without a seed in common; and shape (M,).
    """
    size, seeds = means.shape
    there = ~np.isnan(means)
    bases = sorted({int(b) for b in base if b >= 0 and there[b].any()})
    root = max(bases or range(size), key=lambda i: (int(there[i].sum()), -i), default=0)
    n = np.zeros(size, dtype=np.int64)
    weights = sparse.lil_matrix((size, size * seeds))
    if not there.any():
        return weights.tocsr(), n
    lines: dict[int, dict[int, float]] = {root: _line(root, there[root], seeds)}
    n[root] = there[root].sum()
    for i, to in _footing(there, base, root):
        both = there[i] & there[to]
        n[i] = min(int(both.sum()), int(n[to]))
        line = _line(i, both, seeds)
        for place, value in (*_line(to, both, seeds, -1.0).items(), *lines[to].items()):
            line[place] = line.get(place, 0.0) + value
        lines[i] = {k: v for k, v in line.items() if v}
    for i, line in lines.items():
        for place, value in line.items():
            weights[i, place] = value
    return weights.tocsr(), n


def _footing(
    there: NDArray[np.bool_], base: NDArray[np.int64], root: int
) -> Iterator[tuple[int, int]]:
    """Every method and the one that it is held against, which has come before it.

    That is its baseline, where the two share a seed; otherwise ``root``, or the method that shares
    most.
    """
    placed = {root}
    waiting = [i for i in range(len(there)) if i != root and there[i].any()]
    waiting.sort(key=lambda i: (base[i] != i, i))
    patient = True  # a method waits for its baseline, but not where that waits for the method
    while waiting:
        left = []
        for i in waiting:
            shared = {k: int((there[i] & there[k]).sum()) for k in sorted(placed)}
            best = root if shared[root] else max(shared, key=lambda k: shared[k])
            own = int(base[i])
            if own >= 0 and own != i and (there[i] & there[own]).any():
                best = own if own in placed else -1 if patient else best
            if best < 0 or not shared[best]:
                left.append(i)
                continue
            placed.add(i)
            patient = True
            yield i, best
        if len(left) == len(waiting):
            if not patient:
                return
            patient = False
        waiting = left


def _line(row: int, there: NDArray[np.bool_], seeds: int, sign: float = 1.0) -> dict[int, float]:
    count = int(there.sum())
    return {row * seeds + int(s): sign / count for s in np.flatnonzero(there)}


def levels(means: Array, weights: sparse.csr_matrix, n: NDArray[np.int64]) -> Array:
    """Weighted scores of each method; its plain mean where no other's take part."""
    filled = np.where(np.isnan(means), 0.0, means)
    out = weights @ filled.ravel()
    count = (~np.isnan(means)).sum(axis=1)
    plain = filled.sum(axis=1) / np.maximum(count, 1)
    owner = weights.tocoo().row, weights.tocoo().col // means.shape[1]
    others = np.bincount(owner[0][owner[0] != owner[1]], minlength=len(means))
    alone = (others == 0) & (np.diff(weights.indptr) == count)  # all its own seeds, no other's
    return np.asarray(np.where(n > 0, np.where(alone, plain, out), np.nan))
