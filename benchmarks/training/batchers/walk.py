"""Batches that a random walk over a graph of near rows visits.

Source: Yang et al. 2023, BatchSampler: Sampling Mini-Batches for Contrastive Learning in Vision,
Language, and Graphs. https://arxiv.org/abs/2306.03355 Every row is joined to the K nearest of M
random rows; a walk that returns to its start with a fixed probability visits the batch's rows.
There a row may come back before all were seen, the graph is made again every 100 batches and the
chance of returning falls; here every row is visited at most once an epoch, the graph is a
frozen teacher's, made again every epoch, and the chance stays. A walk whose row has no free
neighbour goes on from its start; where that has none either, from a random free row.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.neighbours import Ints, teacher_views

_CELLS = 1 << 23  # numbers of embeddings gathered at a time


def sparse_neighbours(
    anchors: Tensor, positives: Tensor, among: int, keep: int, rng: np.random.Generator
) -> Ints:
    """``(R, keep)`` rows whose positives are nearest to each anchor, of ``among`` random rows.

    The row itself counts as infinitely far; places that do not exist hold -1.
    """
    rows, dimension = anchors.shape
    among = min(among, rows)
    keep = min(keep, among)
    out = np.empty((rows, keep), np.int64)
    step = max(1, _CELLS // (among * dimension))
    for low in range(0, rows, step):
        mine = np.arange(low, min(low + step, rows))
        drawn = torch.from_numpy(np.stack([rng.permutation(rows)[:among] for _ in mine]))
        drawn = drawn.to(anchors.device)
        score = torch.einsum("bd,bmd->bm", anchors[low : low + step], positives[drawn])
        own = drawn == torch.from_numpy(mine).to(drawn.device)[:, None]
        best = score.masked_fill(own, -torch.inf).topk(keep, dim=1)
        found = drawn.gather(1, best.indices).masked_fill(best.values == -torch.inf, -1)
        out[low : low + step] = found.cpu().numpy()
    return out


def walk(
    neighbours: Ints, start: int, size: int, restart: float, free: Any, rng: np.random.Generator
) -> list[int]:
    """Visit ``size`` free rows, the start first; ``free`` is changed.

    Args:
        neighbours: ``(R, K)`` rows, -1 for none.
        start: A free row.
        size: At most as many as are free.
        restart: Chance of going on from the start instead of from the row just visited.
        free: ``(R,)`` bool.
        rng: Draws.
    """
    seen, here = [start], start
    free[start] = False
    while len(seen) < size:
        here = start if rng.random() < restart else here
        for origin in (here, start):
            near = neighbours[origin]
            open_ = near[(near >= 0) & free[near]]
            if len(open_):
                break
        else:
            open_ = np.flatnonzero(free)
        here = int(open_[rng.integers(len(open_))])
        free[here] = False
        seen.append(here)
    return seen


def walks(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    """The batches of the sampler `random_walk`."""
    rng = np.random.default_rng(world.seed_for("batches"))
    rows, size = world.data.rows, world.batch_size
    anchors, positives = teacher_views(world, params["teacher"])
    while True:
        near = sparse_neighbours(anchors, positives, params["among"], params["neighbours"], rng)
        free = np.ones(rows, np.bool_)
        starts = iter(rng.permutation(rows).tolist())
        for _ in range(rows // size):
            start = next(row for row in starts if free[row])
            yield np.array(walk(near, start, size, params["restart"], free, rng), np.int64)
