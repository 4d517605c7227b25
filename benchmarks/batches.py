"""Which rows make up each batch, and how long its token rows are."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BUCKET = 8
Ints = NDArray[np.int64]


def bucket(length: int, limit: int) -> int:
    """Token width of a batch whose longest text has ``length`` tokens: the next multiple of 8."""
    return min(-(-length // BUCKET) * BUCKET, limit)


def batches(rows: int, batch_size: int, seed: int) -> Iterator[Ints]:
    """Endless batches: one shuffle an epoch, the incomplete last batch left out.

    Args:
        rows: R training rows.
        batch_size: B, at most R.
        seed: Decides every shuffle.

    Raises:
        ValueError: If there are fewer rows than one batch needs.
    """
    if rows < batch_size:
        raise ValueError(f"batch_size is {batch_size}, but the data has only {rows} rows")
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows - batch_size + 1, batch_size):
            yield order[start : start + batch_size]
