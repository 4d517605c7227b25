"""Overlap of two minings, as sets of ids for each row."""

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.difficulty.statistics import summary


def recall(old: Tensor, new: Tensor) -> Tensor:
    """Statistics over rows of the part of the new ids, ``(R, M)``, that the old ones hold."""
    there = new >= 0
    count = there.sum(dim=1)
    hits = torch.zeros_like(count)
    for place in range(new.shape[1]):
        hits += (new[:, place, None] == old).any(dim=1) & there[:, place]
    return summary(hits / count.clamp(min=1), count > 0, 0, 1)


def jaccard(old: Tensor, new: Tensor) -> float:
    """Mean overlap of two ``(R, M)`` sets of ids, empty places left out."""
    values = []
    for a, b in zip(old.tolist(), new.tolist(), strict=True):
        one, two = set(a) - {-1}, set(b) - {-1}
        if one | two:
            values.append(len(one & two) / len(one | two))
    return float(np.mean(values)) if values else 1.0
