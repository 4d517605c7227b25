"""Candidates of an exact search from a flat faiss index, proven complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.search.blocked import Search, TopK, keys_of, rounding_of
from nsbench.benchmarks.search.keys import merged, scores_of

_CHECKED = 16
_MOST_ON_DEVICE = 2048  # faiss's own limit for its GPU indexes


class FaissSearch(Search):
    """A `Search` whose candidates come from faiss; a sample is compared with the reference.

    A query whose answer the bound on rounding does not prove complete is repeated with four times
    as many candidates, and by the reference where faiss gives no more.

    Raises:
        ValueError: If the queries are on a device that faiss cannot use, or more places are asked
            for than faiss gives there.
    """

    def __init__(self, queries: Tensor, k: int, memory: int, exclude: Tensor | None) -> None:
        super().__init__(queries, k, memory, exclude, product="fp32")
        device = queries.device
        self.memory = memory
        self.most = most_places(device)
        self.exclude = None if exclude is None else exclude.to(device)
        self.checked = min(_CHECKED, len(queries))
        self.sample = torch.linspace(0, max(0, len(queries) - 1), self.checked, device=device)
        self.sample = self.sample.long()
        self.reference = self._referee(self.sample)
        self.most_banned = int(torch.bincount(self.banned[0], minlength=1).max())
        if k + self.most_banned > self.most:
            raise ValueError(
                f"top_k: faiss gives at most {self.most} rows on {device}, k is {k} and up to "
                f"{self.most_banned} are excluded: take backend 'torch' or 'fused'"
            )
        if device.type != "cpu":  # each block has to be searched for all places: few, large ones
            self.rows_per_block = max(
                self.rows_per_block, memory // (16 * max(1, queries.shape[1]))
            )
        with faiss_threads() as faiss:
            self.resources = resources_of(faiss, device, memory // 4)

    def _referee(self, rows: Tensor) -> Search:
        chosen = None if self.exclude is None else self.exclude[rows]
        return Search(self.queries[rows], self.k, self.memory, chosen, product="fp32")

    def add(self, block: Tensor, offset: int) -> None:
        """Search one block of corpus rows, the first of which has id ``offset``."""
        rows = torch.arange(len(self.queries), device=block.device)
        block = block.contiguous()
        most = min(len(block), self.most)
        fetch = min(most, self.k + self.most_banned + max(16, self.k // 8))
        slack = rounding_of(self.queries.shape[1], self.norms, block.norm(dim=1).max())
        with faiss_threads() as faiss:
            index = flat_index(faiss, block.shape[1], block.device, self.resources)
            index.add_c(len(block), _pointer(faiss, block))
            while len(rows):
                again = [
                    part[~self._ask(faiss, index, part, fetch, slack[part], block, offset)]
                    for part in rows.split(max(1, self.max_candidates // fetch))
                ]
                rows = torch.cat(again)
                self.repeated += len(rows)
                if fetch == most:
                    break
                fetch = min(most, 4 * fetch)
        if len(rows):
            referee = self._referee(rows)
            referee.best = self.best[rows]
            referee.add(block, offset)
            self.best[rows] = referee.best
        self.reference.add(block, offset)
        self.seen += len(block)

    def _ask(
        self,
        faiss: Any,
        index: Any,
        rows: Tensor,
        fetch: int,
        slack: Tensor,
        block: Tensor,
        offset: int,
    ) -> Tensor:
        """Merge the answers of some queries; return ``(h,)`` bool, True where they are complete."""
        queries = self.queries[rows]
        found = queries.new_empty(len(rows), fetch)
        ids = torch.empty(len(rows), fetch, dtype=torch.int64, device=queries.device)
        places = faiss.cast_integer_to_idx_t_ptr(ids.data_ptr())
        index.search_c(len(rows), _pointer(faiss, queries), fetch, _pointer(faiss, found), places)
        banned_rows, banned_ids = self.banned
        flat = (rows[:, None] << 32) + ids + offset
        good = (ids >= 0) & ~torch.isin(flat, (banned_rows << 32) + banned_ids)
        row, place = good.nonzero().unbind(1)
        keys = keys_of(queries, block, offset, row, ids[row, place], self.scratch, self.piece)
        best = merged(self.best[rows], row, keys)
        complete = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
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


def most_places(device: torch.device) -> int:
    """Return how many rows faiss gives for a query on a device.

    Raises:
        ModuleNotFoundError: If faiss is not installed.
        ValueError: If it is, but not for this device.
    """
    with faiss_threads() as faiss:
        if device.type == "cpu":
            return 1 << 62
        if not on_devices(faiss):
            raise ValueError(
                f"top_k: the queries are on {device}, and the faiss that is installed "
                f"{'sees no GPU' if hasattr(faiss, 'GpuIndexFlatIP') else 'is for CPUs only'}: "
                "run 'nsbench doctor', or choose the backend 'torch' or 'fused'"
            )
        return _MOST_ON_DEVICE


def on_devices(faiss: Any) -> bool:
    """Return whether this faiss can use CUDA devices."""
    return hasattr(faiss, "GpuIndexFlatIP") and faiss.get_num_gpus() > 0


def resources_of(faiss: Any, device: torch.device, memory: int) -> Any:
    """Return what faiss needs to work on the current stream of a device; ``None`` for a CPU."""
    if device.type == "cpu":
        return None
    made = faiss.StandardGpuResources()
    made.setTempMemory(memory)
    made.setPinnedMemory(0)
    stream = torch.cuda.current_stream(device).cuda_stream
    made.setDefaultStream(_number_of(device), faiss.cast_integer_to_cudastream_t(stream))
    return made


def flat_index(faiss: Any, width: int, device: torch.device, resources: Any) -> Any:
    """Return an empty index of inner products, of the kind that its device needs.

    Args:
        faiss: The module.
        width: Dimensions.
        device: Where.
        resources: Of `resources_of`; the index must not outlive them.
    """
    if device.type == "cpu":
        return faiss.IndexFlatIP(width)
    config = faiss.GpuIndexFlatConfig()
    config.device = _number_of(device)
    return faiss.GpuIndexFlatIP(resources, width, config)


def _number_of(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def _pointer(faiss: Any, rows: Tensor) -> Any:
    """Return where the numbers of a contiguous float32 tensor are, on host or device."""
    return faiss.cast_integer_to_float_ptr(rows.data_ptr())


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
