"""Batches that a file names: a line a batch, numbers of rows with blanks between."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.neighbours import Ints

_LONGEST = 18  # digits of the number of a row


def given_batches(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    """The batches of the sampler `given_batches`, over and over in the file's order.

    Raises:
        ValueError: If the file is not there or a line is no batch; the message names the line.
    """
    path = Path(params["file"]).expanduser()
    return cycle(read_batches(path, world.data.rows, world.batch_size))


def read_batches(path: Path, rows: int, batch_size: int) -> Ints:
    """``(n, B)`` rows of the data, batch by batch; blank lines are passed over.

    Raises:
        ValueError: If the file is not there or a line is no batch.
    """
    out = []
    if not path.is_file():
        raise ValueError(f"given_batches: there is no file {str(path)!r}")
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"given_batches: {path} is no UTF-8 text: {error}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        where = f"given_batches: {path}, line {number}"
        for word in words:
            digits = word.isascii() and word.isdigit() and len(word) <= _LONGEST
            if not digits or int(word) >= rows:
                raise ValueError(f"{where}: {word!r} is no row; rows are 0 to {rows - 1}")
        batch = [int(word) for word in words]
        if len(set(batch)) < len(batch):
            twice = next(row for row in batch if batch.count(row) > 1)
            raise ValueError(f"{where}: row {twice} is twice in one batch")
        if len(batch) != batch_size:
            raise ValueError(f"{where} names {len(batch)} rows, but batch_size is {batch_size}")
        out.append(batch)
    if not out:
        raise ValueError(f"given_batches: {path} names no batch")
    return np.array(out, np.int64)
