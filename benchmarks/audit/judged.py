"""Share of false negatives by a cross-encoder: the swaps of `swaps`, judged by a model of pairs.

A judge reads both texts of a pair at once, and knows nothing of the given pairs. Its scores need no
threshold and no common scale: of two rows, it only says whether the given or the swapped pairs
score higher together.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.audit.swaps import ALPHA, BANDS, ERRS, LEAST, NAMES, Share, rare
from nsbench.benchmarks.seeds import seed_for

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Score = Callable[[Sequence[tuple[str, str]]], NDArray[np.float32]]
"""Pairs of texts to ``(n,)`` scores, higher is closer."""
MOST = 200
"""Pairs of rows that are judged of each group of candidates."""
_DRAWS = 300


def judged(
    anchors: Sequence[str], positives: Sequence[str], places: Ints, score: Score, *, seed: int = 0
) -> list[Share]:
    """Estimate the share among random candidates and by places, as `swaps.shares` does.

    Args:
        anchors: Texts of n rows.
        positives: Their positives.
        places: ``(n, n)`` place of each positive in the ranking of each anchor; -1 for what is
            known to mean the same.
        score: The judge.
        seed: Of the sample and the resampling.

    Returns:
        As `swaps.shares`; a group of candidates with fewer than `LEAST` pairs is left out.
    """
    rng = np.random.default_rng(seed_for(seed, "audit judge"))
    bands = ((0, len(anchors)), *BANDS)
    drawn = []
    for first, last in bands:
        left, right = np.nonzero((places >= first) & (places < last))
        some = np.sort(rng.permutation(len(left))[:MOST])
        drawn.append(np.stack([left[some], right[some]]))
    left, right = np.concatenate(drawn, axis=1)
    rows = np.unique(np.concatenate([left, right]))
    pairs = [*zip(left, right, strict=True), *zip(right, left, strict=True)]
    pairs += zip(rows, rows, strict=True)
    found = np.asarray(score([(anchors[i], positives[j]) for i, j in pairs]), np.float64)
    given = np.zeros(len(anchors))
    given[rows] = found[2 * len(left) :]
    swapped = found[: len(left)] + found[len(left) : 2 * len(left)]
    gap = swapped - given[left] - given[right]
    wins = np.where(np.abs(gap) < 1e-9, 0.5, (gap > 0).astype(np.float64))
    ends = np.cumsum([d.shape[1] for d in drawn])
    parts = zip(NAMES, drawn, np.split(wins, ends[:-1]), strict=True)
    return [_share(n, d, w, len(anchors), rng) for n, d, w in parts if len(w) >= LEAST]


def _share(name: str, pairs: Ints, wins: Doubles, rows: int, rng: np.random.Generator) -> Share:
    """The estimate with its interval, from rows drawn with replacement."""
    times = rng.multinomial(rows, np.full(rows, 1 / rows), size=_DRAWS)  # (draws, n)
    weights = (times[:, pairs[0]] * times[:, pairs[1]]).astype(np.float64)  # (draws, pairs)
    won = (weights @ wins) / np.maximum(weights.sum(axis=1), 1e-12)
    share = min(1.0, 2 * float(wins.mean()))
    least = np.clip((won - ERRS) / (0.5 - ERRS), 0, 1)
    low = min(float(np.quantile(least, ALPHA / 2)), share)
    # Both orders of two rows may have been drawn, which is one comparison: half of them count.
    most = rare(float(wins.sum()) / 2, len(wins) / 2)
    high = max(float(np.quantile(2 * won, 1 - ALPHA / 2)), most)
    return Share(name, low, share, min(1.0, max(high, share)), len(wins))
