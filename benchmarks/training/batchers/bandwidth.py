"""Batches cut from an order of all rows in which near rows stand close together.

Source: Sachidananda et al. 2023, Global Selection of Contrastive Batches via Optimization on
Sample Permutations (GCBS). https://proceedings.mlr.press/v202/sachidananda23a.html The graph that
joins every row to a number of nearest rows stands for the paper's sparse matrix of similarities,
and the reverse Cuthill-McKee order lessens its bandwidth. Every epoch cuts at other places, and
shuffles the batches.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.neighbours import Ints, edges, ranked_rows, teacher_views


def close_together(neighbours: Ints) -> Ints:
    """``(R,)`` rows in reverse Cuthill-McKee order of the graph that joins rows either way."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    rows = len(neighbours)
    source, target = edges(neighbours)
    ones = np.ones(len(source), np.int8)
    graph = csr_matrix((ones, (source, target)), shape=(rows, rows))
    joined = (graph + graph.T).tocsr()
    return np.asarray(reverse_cuthill_mckee(joined, symmetric_mode=True), np.int64)


def cut(line: Ints, batch_size: int, seed: int) -> Iterator[Ints]:
    """Endless batches of rows that stand side by side, the line turned at random every epoch."""
    rng = np.random.default_rng(seed)
    count = len(line) // batch_size
    while True:
        turned = np.roll(line, int(rng.integers(len(line))))
        yield from rng.permutation(turned[: count * batch_size].reshape(count, batch_size))


def bandwidth(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    """The batches of the sampler `bandwidth`."""
    near = ranked_rows(*teacher_views(world, params["teacher"]), params["neighbours"])
    return cut(close_together(near), world.batch_size, world.seed_for("batches"))
