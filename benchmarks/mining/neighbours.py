"""Rows that a teacher holds to be near each other, by the ranks of their positives."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.guides import guide_embeddings
from nsbench.benchmarks.search.exact import top_k

Ints = NDArray[np.int64]


def teacher_views(world: World, teacher: str) -> tuple[Tensor, Tensor]:
    """Normalised embeddings of every row's anchor and of its positive, ``(R, d)`` each.

    Args:
        world: The cell.
        teacher: Encoder by name; empty for the cell's own as it starts.
    """
    points = guide_embeddings(world, teacher)
    anchor, positive = (
        torch.from_numpy(side).to(points.device)
        for side in (world.data.anchor, world.data.positive)
    )
    return points[anchor], points[positive]


def ranked_rows(anchors: Tensor, positives: Tensor, depth: int) -> Ints:
    """``(R, depth)`` rows by the similarity of their positives to each anchor, its own left out.

    Places that do not exist hold -1.
    """
    rows = len(anchors)
    own = torch.arange(rows, device=anchors.device)[:, None]
    found = top_k(anchors, positives, min(depth, max(1, rows - 1)), exclude=own).ids.cpu().numpy()
    if found.shape[1] < depth:
        empty = np.full((rows, depth - found.shape[1]), -1, np.int64)
        found = np.concatenate([found, empty], axis=1)
    return np.asarray(found, np.int64)


def edges(neighbours: Ints) -> tuple[Ints, Ints]:
    """Row and neighbour of every place of ``(R, m)`` neighbours that is not -1."""
    source = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    target = neighbours.ravel()
    there = target >= 0
    return source[there], target[there]


def mutual(neighbours: Ints) -> list[Ints]:
    """For every row of ``(R, m)``, -1 for none, the neighbours that count it, ascending."""
    rows = len(neighbours)
    source, target = edges(neighbours)
    forth = source * rows + target
    back = target * rows + source
    keys = np.unique(forth[np.isin(forth, back)])
    cuts = np.searchsorted(keys, np.arange(1, rows) * rows)
    return [part % rows for part in np.split(keys, cuts)]
