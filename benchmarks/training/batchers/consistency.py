"""Random batches of the rows whose positive a teacher ranks among the first for its anchor.

Source: Nussbaum et al. 2024, Nomic Embed: Training a Reproducible Long Context Text Embedder.
https://arxiv.org/abs/2402.01613
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.mining.neighbours import Ints, teacher_views
from nsbench.benchmarks.training.batches import batches

_BLOCK = 1024


def places_of(anchors: Tensor, documents: Tensor, own: Tensor) -> Tensor:
    """``(R,)`` number of documents that are nearer to an anchor than its own; 0: none is.

    Args:
        anchors: ``(R, d)`` normalised.
        documents: ``(D, d)`` normalised.
        own: ``(R,)`` document of each anchor.
    """
    out = []
    for part, mine in zip(anchors.split(_BLOCK), own.split(_BLOCK), strict=True):
        score = part @ documents.T  # (b, D)
        out.append((score > score.gather(1, mine[:, None])).sum(dim=1))
    return torch.cat(out)


def consistent(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    """The batches of the sampler `pair_consistency`.

    Raises:
        ValueError: If fewer rows pass than a batch holds.
    """
    group = world.data.group[world.data.positive]  # texts that are equal count once
    distinct, first, own = np.unique(group, return_index=True, return_inverse=True)
    anchors, positives = teacher_views(world, params["teacher"])
    documents = positives[torch.from_numpy(first).to(positives.device)]
    where = torch.from_numpy(np.asarray(own, np.int64).reshape(-1)).to(positives.device)
    passed = places_of(anchors, documents, where) < params["places"]
    alone = world.data.group[world.data.anchor] == group
    kept = np.flatnonzero(passed.cpu().numpy() | alone)
    world.note("rows_inconsistent", world.data.rows - len(kept))
    if len(kept) < world.batch_size:
        raise ValueError(
            f"pair_consistency: {len(kept)} of {world.data.rows} rows have their positive among "
            f"the first {params['places']} of {len(distinct)}, fewer than batch_size, "
            f"{world.batch_size}; raise places"
        )
    drawn = batches(len(kept), world.batch_size, world.seed_for("batches"))
    return (kept[rows] for rows in drawn)
