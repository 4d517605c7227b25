"""Scores and ids packed into one sortable number; lists of the best, merged."""

import torch
from torch import Tensor

EMPTY = -(1 << 63)

_LOW = (1 << 32) - 1  # ids are kept in 32 bits


def packed(scores: Tensor, ids: Tensor) -> Tensor:
    """int64 keys whose order is (score, -id)."""
    bits = (scores + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.long() << 32) | (_LOW - ids)


def ids_of(keys: Tensor) -> Tensor:
    """int64 ids of keys; -1 for empty places."""
    return torch.where(keys != EMPTY, _LOW - (keys & _LOW), -1)


def scores_of(keys: Tensor) -> Tensor:
    """float32 scores of keys; -inf for empty places."""
    ordered = (keys >> 32).to(torch.int32)
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return torch.where(keys == EMPTY, -torch.inf, bits.view(torch.float32))


def merged(best: Tensor, row: Tensor, keys: Tensor) -> Tensor:
    """``(h, k)`` the largest of ``(h, k)`` keys and ``(P,)`` new ones of ascending rows."""
    if not len(row):
        return best
    height, k = best.shape
    counts = torch.bincount(row, minlength=height)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    most = int(counts.max())
    step = min(most, max(4 * k, 1024))
    for low in range(0, most, step):
        both = torch.cat([best, best.new_full((height, step), EMPTY)], dim=1)
        if most <= step:
            both[row, k + place] = keys
        else:
            inside = ((place >= low) & (place < low + step)).nonzero()[:, 0]
            both[row[inside], k + place[inside] - low] = keys[inside]
        best = both.topk(k, dim=1).values
    return best
