"""Sources of the scores by which mining ranks a corpus: embeddings, or BM25."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nsbench.benchmarks.mining.bm25 import Bm25
from nsbench.benchmarks.search.exact import top_k

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_CELLS = 1 << 23  # BM25 scores at a time


class Source(Protocol):
    """Scores between the G distinct texts of a corpus."""

    name: str

    def rank(self, queries: Ints, k: int) -> tuple[Floats, Ints]:
        """``(A, k)`` best scores, falling, and text numbers; -inf and -1 in empty places."""
        ...

    def pairs(self, left: Ints, right: Ints) -> Floats:
        """``(n,)`` scores of given pairs."""
        ...


class DenseSource:
    """Cosine of embeddings.

    Args:
        embeddings: ``(G, d)`` of the distinct texts; normalised here.
        candidates: Numbers of the texts that are ranked, ascending; ``None`` for all.
        name: Name of the model, for the record.
        backend: Of the search.
        devices: Of the search; none for where the embeddings are.
        queries: ``(G, d)`` of the same texts as queries, where a model embeds these otherwise.
    """

    def __init__(
        self,
        embeddings: Tensor,
        candidates: Ints | None = None,
        *,
        name: str,
        backend: str = "torch",
        devices: Sequence[str] = (),
        queries: Tensor | None = None,
    ) -> None:
        self.embeddings = torch.nn.functional.normalize(embeddings.detach().float(), dim=1)
        self.queries = self.embeddings
        if queries is not None:
            self.queries = torch.nn.functional.normalize(queries.detach().float(), dim=1)
        self.candidates = candidates
        self.name, self.backend, self.devices = name, backend, devices

    def rank(self, queries: Ints, k: int) -> tuple[Floats, Ints]:
        """The k most similar texts of every query; the query itself may be among them."""
        picked = self.queries[torch.from_numpy(queries).to(self.embeddings.device)]
        ranked = self.embeddings
        if self.candidates is not None:
            ranked = ranked[torch.from_numpy(self.candidates).to(ranked.device)]
        found = top_k(picked, ranked, k, backend=self.backend, devices=self.devices)
        return found.scores.cpu().numpy(), _renumbered(found.ids.cpu().numpy(), self.candidates)

    def pairs(self, left: Ints, right: Ints) -> Floats:
        """Cosine of given pairs, the left text as query, by the formula of the search."""
        a, b = (torch.from_numpy(x).to(self.embeddings.device) for x in (left, right))
        parts = [
            (self.queries[i] * self.embeddings[j]).sum(dim=1)
            for i, j in zip(a.split(1 << 14), b.split(1 << 14), strict=True)
        ]
        out: Floats = torch.cat(parts).cpu().numpy() if parts else np.zeros(0, np.float32)
        return out


class LexicalSource:
    """BM25 scores; a text that shares no word with the query is not ranked.

    Args:
        index: Of the distinct texts.
        candidates: Numbers of the texts that are ranked, ascending; ``None`` for all.
    """

    name = "bm25"

    def __init__(self, index: Bm25, candidates: Ints | None = None) -> None:
        self.index = index
        self.candidates = candidates

    def rank(self, queries: Ints, k: int) -> tuple[Floats, Ints]:
        """The k best texts of every query; ties go to the lower number."""
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        for start, found in self._blocks(queries):
            if self.candidates is not None:
                found = found[:, self.candidates]
            for i, row in enumerate(found, start):
                # All that can be among the k best, ties included.
                least = np.partition(row, len(row) - k)[len(row) - k] if k < len(row) else 0
                near = np.flatnonzero((row >= least) & (row > 0))
                near = near[np.lexsort((near, -row[near]))[:k]]
                scores[i, : len(near)] = row[near]
                ids[i, : len(near)] = near
        return scores, _renumbered(ids, self.candidates)

    def pairs(self, left: Ints, right: Ints) -> Floats:
        """Score of the right text for the left one as query; 0 without a common word."""
        parts = [
            found[np.arange(len(found)), right[start : start + len(found)]]
            for start, found in self._blocks(left)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _blocks(self, queries: Ints) -> Iterator[tuple[int, Floats]]:
        """Scores for a few queries at a time, each with the number of its first."""
        step = max(1, _CELLS // len(self.index))
        for start in range(0, len(queries), step):
            yield start, self.index.scores(queries[start : start + step])


def _renumbered(ids: Ints, candidates: Ints | None) -> Ints:
    """Places among the candidates as numbers of texts; -1 stays."""
    return ids if candidates is None else np.where(ids >= 0, candidates[ids], -1)
