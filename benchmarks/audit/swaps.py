"""Share of false negatives among candidates, from positives that could be swapped.

Take two rows that are not known to mean the same. If they do, it is chance alone that decides
which of the two positives was written next to which anchor: swapped, the four texts would be as
likely. So the two given pairs are as often less similar, together, than the two swapped ones as
they are more similar: the swap wins one time in two. If the rows differ in meaning, the swap wins
as rarely as the similarity errs. Hence, over any set of pairs of rows chosen without regard to
who belongs to whom, with s the share of false negatives, e the chance of an error and w the share
of swaps that win: ``w = s / 2 + (1 - s) e``.

The upper end takes e = 0: it needs the swap alone. The lower end takes e = `ERRS`, and reads only
the pairs of rows whose four texts are most alike; it holds if the similarity puts two rows of
different meaning right three times in four. Nothing else is assumed: no threshold on a score.

A false negative is here a text that would pass as the given positive. Where the given positive was
picked as the best of several, further good ones lose swaps more often than they win, and the
estimate is low.

Source: ours. The symmetry is that of a sign test under exchangeability; intervals by resampling
rows, as for U-statistics: Arcones and Gine 1992. https://doi.org/10.1214/aos/1176348525
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ERRS = 0.25
"""Chance that the similarity errs on two rows of different meaning, for the lower end."""
BANDS = ((0, 1), (1, 4), (4, 16), (16, 64), (64, 256))
"""Places in an anchor's ranking that are reported together, from and to; 0 is the hardest."""
LEAST = 30
"""Rows without which nothing is estimated."""
ALPHA = 0.05
_STRATA = 60
_MOST_ALIKE = 100  # pairs of rows that the lower end reads at least
_DRAWS = 300


@dataclass(frozen=True, eq=False)
class Swaps:
    """Pairs of rows of one fold, the similarities of a fold being fitted on other rows.

    Attributes:
        rows: Numbers of the n rows.
        left: ``(m,)`` place of a pair's first row among them.
        right: ``(m,)`` place of its second row.
        wins: ``(m,)`` 1 where the swap wins, 1/2 for a tie.
        alike: ``(m,)`` how alike the four texts are; the swap does not change it.
        places: ``(2, m)`` place of the second row's positive in the first anchor's ranking, and
            the other way round.
    """

    rows: Ints
    left: Ints
    right: Ints
    wins: Floats
    alike: Floats
    places: Ints


def swaps(rows: Ints, anchors: Floats, positives: Floats, known: Bools, places: Ints) -> Swaps:
    """Compare every two rows with their swap.

    Args:
        rows: ``(n,)`` numbers of the rows.
        anchors: ``(n, d)`` unit vectors of the anchors.
        positives: ``(n, d)`` of their positives.
        known: ``(n, n)`` True where two rows are known to mean the same; they are left out.
        places: ``(n, n)`` place of each positive in the ranking of each anchor.
    """
    cross = anchors @ positives.T
    own = np.diag(cross)
    given, swapped = own[:, None] + own[None, :], cross + cross.T
    alike = given + swapped + anchors @ anchors.T + positives @ positives.T
    left, right = np.triu_indices(len(rows), 1)
    usable = ~known[left, right]
    left, right = left[usable], right[usable]
    gap = (given - swapped)[left, right]
    wins = np.where(np.abs(gap) < 1e-9, 0.5, (gap < 0).astype(np.float64))
    both = np.stack([places[left, right], places[right, left]])
    return Swaps(rows, left, right, wins, alike[left, right], both)


@dataclass(frozen=True)
class Share:
    """A share of false negatives with its interval.

    Attributes:
        name: Of which candidates.
        low: Lower end.
        share: The estimate: twice the share of swaps that win.
        high: Upper end.
        candidates: Pairs of an anchor and a candidate behind it.
    """

    name: str
    low: float
    share: float
    high: float
    candidates: int

    def plain(self) -> dict[str, Any]:
        """As plain data, rounded to 1e-5."""
        ends = {k: round(float(getattr(self, k)), 5) for k in ("low", "share", "high")}
        return {"name": self.name, **ends, "candidates": self.candidates}


def shares(folds: Sequence[Swaps], *, seed: int = 0) -> list[Share]:
    """Estimate the share among random candidates, and by places of the ranking.

    Returns:
        Of all candidates first, then of each of `BANDS` that has candidates; empty if the folds
        hold fewer than `LEAST` rows together.
    """
    if sum(len(f.rows) for f in folds) < LEAST or not all(len(f.wins) for f in folds):
        return []
    alike = np.concatenate([f.alike for f in folds])
    edges = _edges(alike)
    counted = [_Counted(f, edges) for f in folds]
    point = _estimates(counted, None)
    rng = np.random.default_rng(seed)
    drawn = np.stack([_estimates(counted, rng) for _ in range(_DRAWS)])  # (draws, names, 2)
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    out = []
    for place, name in enumerate(NAMES):
        candidates = sum(c.candidates[place] for c in counted)
        if not candidates:
            continue
        most = max(high[place, 0], rare(point[place, 0] * candidates / 4, candidates / 2))
        share = min(1.0, point[place, 0])
        lower = min(low[place, 1], share)
        out.append(Share(name, max(0.0, lower), share, min(1.0, max(most, share)), candidates))
    return out


NAMES = (
    "random candidates",
    *(f"places {a + 1} to {b}" if b > a + 1 else f"place {b}" for a, b in BANDS),
)
"""Of all candidates and of `BANDS`."""


def rare(wins: float, pairs: float) -> float:
    """Upper end for few wins, twice Poisson's: resampling knows nothing of what was not met."""
    return float(chi2.ppf(1 - ALPHA / 2, 2 * wins + 2) / pairs)


def _edges(alike: Floats) -> Floats:
    """Falling borders of strata: the most alike pairs in small ones, the others in large ones."""
    first = min(0.5, _MOST_ALIKE / len(alike))
    shares_ = np.geomspace(first, 1.0, _STRATA)
    return np.quantile(alike, 1 - shares_[:-1])


class _Counted:
    """Wins and pairs of a fold by stratum, for weights of its rows."""

    def __init__(self, fold: Swaps, edges: Floats) -> None:
        self.fold = fold
        self.size = len(edges) + 1
        self.stratum = np.searchsorted(-edges, -fold.alike, side="left")
        bands = [np.ones(fold.places.shape, bool)]
        bands += [(fold.places >= a) & (fold.places < b) for a, b in BANDS]
        self.within = [b.sum(axis=0) for b in bands]  # 0, 1 or 2 candidates of each pair
        self.there = [np.flatnonzero(w) for w in self.within]
        self.candidates = [int(w.sum()) for w in self.within]

    def weights(self, rng: np.random.Generator | None) -> Floats:
        """``(m,)`` weight of each pair when rows are drawn with replacement."""
        n = len(self.fold.rows)
        if rng is None:
            return np.ones(len(self.fold.left))
        drawn = rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
        found: Floats = drawn[self.fold.left] * drawn[self.fold.right]
        return found

    def of(self, band: int, weights: Floats) -> Floats:
        """``(strata,)`` candidates of a band."""
        there = self.there[band]
        found: Floats = np.bincount(
            self.stratum[there], weights[there] * self.within[band][there], self.size
        ).astype(np.float64)
        return found


def _estimates(folds: Sequence[_Counted], rng: np.random.Generator | None) -> Floats:
    """``(names, 2)`` twice the share of wins, and the lower end without its chance."""
    weights = [f.weights(rng) for f in folds]
    size = folds[0].size
    wins, pairs = np.zeros(size), np.zeros(size)
    for f, w in zip(folds, weights, strict=True):
        wins += np.bincount(f.stratum, w * f.fold.wins, size)
        pairs += np.bincount(f.stratum, w, size)
    most = 2 * wins / np.maximum(pairs, 1e-12)  # (strata,); above 1 by chance, averaged first
    least = _least(wins, pairs)
    out = np.zeros((len(NAMES), 2))
    for band in range(len(NAMES)):
        of = sum((f.of(band, w) for f, w in zip(folds, weights, strict=True)), np.zeros(size))
        total = max(float(of.sum()), 1e-12)
        out[band] = (of * most).sum() / total, (of * least).sum() / total
    out[0, 0] = 2 * wins.sum() / max(float(pairs.sum()), 1e-12)
    return out


def _least(wins: Floats, pairs: Floats) -> Floats:
    """``(strata,)`` least share of false negatives: in the most alike pairs up to a cut.

    The cut is where their number is largest.
    """
    up_to, won = np.cumsum(pairs), np.cumsum(wins)
    share = np.clip((won / np.maximum(up_to, 1e-12) - ERRS) / (0.5 - ERRS), 0, 1)
    cut = int(np.argmax(share * up_to))
    inside = np.arange(len(pairs)) <= cut
    own = np.clip((wins / np.maximum(pairs, 1e-12) - ERRS) / (0.5 - ERRS), 0, 1)
    level = share[cut] * up_to[cut] / max(float((own * pairs)[inside].sum()), 1e-12)
    found: Floats = np.where(inside, np.clip(own * min(level, 1.0), 0, 1), 0.0)
    return found
