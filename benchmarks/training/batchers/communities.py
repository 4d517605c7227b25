"""Batches of communities: rows that rank each other high, but not highest.

Source: Thirukovalluru et al. 2025, Breaking the Batch Barrier (B3) of Contrastive Learning via
Smart Batch Mining. https://arxiv.org/abs/2505.11293 Rows are joined where each ranks the other's
positive in places p to p + m of a teacher's ranking. The communities are cut by METIS there; here
they grow greedily, to equal size, which needs no further library.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.neighbours import (
    Ints,
    mutual,
    ranked_rows,
    teacher_views,
)


def grow(graph: list[Ints], size: int, rng: np.random.Generator) -> Ints:
    """Rows in an order in which every ``size`` of them in turn are a community.

    A community starts at a random row and takes in, one by one, the free row with the most edges
    into it, the first such of a random order; where no free row has any, a random one.
    """
    order = rng.permutation(len(graph))
    place = np.empty(len(graph), np.int64)
    place[order] = np.arange(len(graph))
    taken = np.zeros(len(graph), np.bool_)
    out: list[int] = []
    edges: dict[int, int] = {}
    starts = iter(order.tolist())
    while len(out) < len(graph):
        if len(out) % size == 0:
            edges = {}
        if edges:
            row = min(edges, key=lambda r: (-edges[r], place[r]))
        else:
            row = next(r for r in starts if not taken[r])
        edges.pop(row, None)
        taken[row] = True
        out.append(row)
        for other in graph[row].tolist():
            if not taken[other]:
                edges[other] = edges.get(other, 0) + 1
    return np.array(out, np.int64)


def community_batches(line: Ints, size: int, batch_size: int, seed: int) -> Iterator[Ints]:
    """Endless batches of ``batch_size / size`` communities, drawn again every epoch.

    Args:
        line: ``(R,)`` rows as `grow` orders them; what is left over after the last whole
            community is in no batch.
        size: Rows of a community; divides ``batch_size``.
        batch_size: B, at most R.
        seed: Decides every shuffle.
    """
    whole = line[: len(line) // size * size].reshape(-1, size)
    each = batch_size // size
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(whole))
        for start in range(0, len(order) - each + 1, each):
            yield whole[order[start : start + each]].reshape(-1)


def communities(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    """The batches of the sampler `communities`."""
    size, first, width = params["size"], params["skip"], params["width"]
    rows, seed = world.data.rows, world.seed_for("batches")
    if size == 1:
        line = np.arange(rows)
    else:
        near = ranked_rows(*teacher_views(world, params["teacher"]), first + width)[:, first:]
        graph = mutual(near)
        world.note("batch_edges", sum(map(len, graph)) / 2)
        line = grow(graph, size, np.random.default_rng(world.seed_for("communities")))
    return community_batches(line, size, world.batch_size, seed)
