"""Rankings of a corpus that no single score makes: at random, and several rankings as one.

Source: Cormack et al. 2009, Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods, with its constant 60. https://doi.org/10.1145/1571941.1572114 Random documents as
negatives: Karpukhin et al. 2020, DPR; several miners by share: Moreira et al. 2024, NV-Retriever.
https://arxiv.org/abs/2004.04906 https://arxiv.org/abs/2407.15831
"""

from collections.abc import Sequence

import numpy as np

from nsbench.benchmarks.mining.sources import Floats, Ints, Source

CONSTANT = 60
BLENDS = ("fusion", "shares")
_CELLS = 1 << 22  # random numbers at a time


class RandomSource:
    """Every text equally likely at every place; its scores mean nothing but their order."""

    name = "random"

    def __init__(self, candidates: Ints, rng: np.random.Generator) -> None:
        self.candidates, self.rng = candidates, rng

    def rank(self, queries: Ints, k: int) -> tuple[Floats, Ints]:
        """``(A, k)`` random texts of every query, all different, and falling scores in (0, 1]."""
        count = len(self.candidates)
        k = min(k, count)
        block = max(1, _CELLS // count)
        ids = [
            np.argsort(self.rng.random((min(block, len(queries) - low), count)), axis=1)[:, :k]
            for low in range(0, len(queries), block)
        ]
        places = np.concatenate(ids) if ids else np.empty((0, k), np.int64)
        falling = (1 - np.arange(k) / k).astype(np.float32)
        return np.broadcast_to(falling, places.shape).copy(), self.candidates[places]

    def pairs(self, left: Ints, right: Ints) -> Floats:
        """``(n,)`` zeros: no pair is nearer than another."""
        return np.zeros(len(left), np.float32)


class BlendSource:
    """Several rankings as one, whose scores mean nothing but their order.

    Args:
        sources: Whose rankings, at least two.
        shares: Weight of each, > 0.
        blend: ``fusion``: the sum of weight / (60 + place), places from 1; ``shares``: each source
            gives its next text in turn, as often as its weight says.
    """

    def __init__(self, sources: Sequence[Source], shares: Sequence[float], blend: str) -> None:
        self.sources, self.shares, self.blend = sources, shares, blend
        self.name = "+".join(source.name for source in sources)

    def rank(self, queries: Ints, k: int) -> tuple[Floats, Ints]:
        """The k best texts of every query by all sources; ties go to the lower number."""
        found = [source.rank(queries, k)[1] for source in self.sources]
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        join = self._fused if self.blend == "fusion" else self._taken_in_turn
        for row in range(len(queries)):
            best, score = join([part[row][part[row] >= 0] for part in found])
            ids[row, : len(best[:k])] = best[:k]
            scores[row, : len(best[:k])] = score[:k]
        return scores, ids

    def pairs(self, left: Ints, right: Ints) -> Floats:
        """``(n,)`` zeros: a pair has no place in a ranking."""
        return np.zeros(len(left), np.float32)

    def _fused(self, rankings: Sequence[Ints]) -> tuple[Ints, Floats]:
        parts = [
            share / (CONSTANT + 1 + np.arange(len(ranking)))
            for share, ranking in zip(self.shares, rankings, strict=True)
        ]
        texts, inverse = np.unique(np.concatenate(rankings), return_inverse=True)
        score = np.bincount(inverse, np.concatenate(parts), minlength=len(texts))
        order = np.argsort(-score, kind="stable")
        return texts[order], score[order].astype(np.float32)

    def _taken_in_turn(self, rankings: Sequence[Ints]) -> tuple[Ints, Floats]:
        """By the time at which a source that gives ``share`` texts a second gives this one."""
        times = [
            (np.arange(len(ranking)) + 0.5) / share
            for share, ranking in zip(self.shares, rankings, strict=True)
        ]
        order = np.argsort(np.concatenate(times), kind="stable")
        texts = np.concatenate(rankings)[order]
        _, first = np.unique(texts, return_index=True)
        kept = texts[np.sort(first)]
        return kept, -np.arange(len(kept), dtype=np.float32)
