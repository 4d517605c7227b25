"""Candidates of an exact search from a flat faiss index, proven complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.search.blocked import Search, TopK, keys_of, rounding_of
from nsbench.benchmarks.search.keys import merged, scores_of

_CHECKED = 16


class FaissSearch(Search):
    """A `Search` whose candidates come from faiss; a sample is compared with the reference.

    A query whose answer the bound on rounding does not prove complete is repeated with four times
    as many candidates.
    """

    def __init__(self, queries: Tensor, k: int, memory: int, exclude: Tensor | None) -> None:
        super().__init__(queries, k, memory, exclude, product="fp32")
        if queries.device.type != "cpu":
            raise ValueError(
                f"top_k: backend 'faiss' searches on the CPU, the queries are on {queries.device}"
            )
        self.checked = min(_CHECKED, len(queries))
        self.sample = torch.linspace(0, max(0, len(queries) - 1), self.checked).long()
        chosen = None if exclude is None else exclude[self.sample]
        self.reference = Search(queries[self.sample], k, memory, chosen, product="fp32")
        self.most_banned = int(torch.bincount(self.banned[0], minlength=1).max())

    def add(self, block: Tensor, offset: int) -> None:
        """Search one block of corpus rows, the first of which has id ``offset``."""
        rows = torch.arange(len(self.queries))
        fetch = min(len(block), self.k + self.most_banned + max(16, self.k // 8))
        slack = rounding_of(self.queries.shape[1], self.norms, block.norm(dim=1).max())
        with faiss_threads() as faiss:
            index = faiss.IndexFlatIP(block.shape[1])
            index.add(block.numpy())
            while len(rows):
                again = [
                    part[~self._ask(index, part, fetch, slack[part], block, offset)]
                    for part in rows.split(max(1, self.max_candidates // fetch))
                ]
                rows = torch.cat(again)
                self.repeated += len(rows)
                fetch = min(len(block), 4 * fetch)
        self.reference.add(block, offset)
        self.seen += len(block)

    def _ask(
        self, index: Any, rows: Tensor, fetch: int, slack: Tensor, block: Tensor, offset: int
    ) -> Tensor:
        """Merge the answers of some queries; return ``(h,)`` bool, True where they are complete."""
        found, ids = (torch.from_numpy(x) for x in index.search(self.queries[rows].numpy(), fetch))
        banned_rows, banned_ids = self.banned
        flat = (rows[:, None] << 32) + ids + offset
        good = (ids >= 0) & ~torch.isin(flat, (banned_rows << 32) + banned_ids)
        row, place = good.nonzero().unbind(1)
        keys = keys_of(self.queries[rows], block, offset, row, ids[row, place], self.scratch)
        best = merged(self.best[rows], row, keys)
        complete = torch.ones(len(rows), dtype=torch.bool)
        if fetch < len(block):  # rows that were not fetched score no higher than the last that was
            complete = found[:, -1] + slack < scores_of(best[:, -1])
        self.best[rows[complete]] = best[complete]
        return complete

    def answer(self, backend: str) -> TopK:
        """The finished answer, if the sample agrees with the reference.

        Raises:
            RuntimeError: If it does not.
        """
        if not torch.equal(self.best[self.sample], self.reference.best):
            raise RuntimeError("top_k: faiss and the torch reference disagree on a sample")
        return super().answer(backend)


@contextmanager
def faiss_threads() -> Iterator[Any]:
    """Yield faiss, set to torch's number of threads.

    Each has its own OpenMP runtime; they run one after the other here, never nested.
    """
    try:
        import faiss
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "faiss is not installed: pip install faiss-cpu, or choose the backend 'torch'"
        ) from None
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(before)
