"""Memory that cells need: what ended ones leave behind, and how a want of it is told.

A trained model refers to itself in circles, through its optimizer and its hooks, so Python keeps it
until it searches for circles. In a process that has imported much it does so rarely, and a worker
would hold the models of most of the cells that it has run. The C library keeps freed memory, too.
"""

import ctypes
import gc
from contextlib import suppress
from time import perf_counter

from nsbench.benchmarks.records import RunRecord

SHARE = 0.01
"""Share of a process's time that goes to these searches at most, where no GPU is in use."""


class EndedCells:
    """Frees what cells that have ended leave in this process and on its GPU."""

    def __init__(self) -> None:
        self._took, self._last = 0.0, float("-inf")

    def free(self) -> None:
        """Free it now; without a GPU, only if the last search is long enough ago to be cheap.

        On a GPU it is always done, since other processes may share its memory: what torch keeps for
        later use goes back to them, too.
        """
        import torch  # here: executors are read without it

        on_gpu = torch.cuda.is_initialized()
        began = perf_counter()
        if not on_gpu and began - self._last < self._took / SHARE:
            return
        gc.collect()
        _trim()
        if on_gpu:
            torch.cuda.empty_cache()
        self._last = perf_counter()
        self._took = self._last - began


def _trim() -> None:
    """Give back to the system what the C library keeps of freed memory, where it is glibc."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


ended_cells = EndedCells()
"""Of this process."""


def lacked_memory(record: RunRecord) -> bool:
    """Return whether a cell failed because the machine or its GPU ran out of memory.

    The reason is what torch, CUDA, Python or the executor said.
    """
    said = record.reason.lower()
    return record.status == "failed" and ("out of memory" in said or "memory ran out" in said)


def crowded(cells: int, workers: int) -> str:
    """Return in words that cells lacked memory next to others, and what becomes of them."""
    one = cells == 1
    return (
        f"{cells} cell{'' if one else 's'} ran out of memory with up to {workers} at a time: "
        f"{'it is' if one else 'they are'} run again, one at a time"
    )
