"""Columns that were made, not read: how synthesised candidates join a context."""

from typing import Any

import torch
from torch import Tensor

from nsbench.samplers._types import SimilarityContext

_FILL = {
    "guide_similarity": -1.0,
    "support_similarity": -1.0,
    "token_overlap": 0.0,
    "truth": False,
    "cluster_match": False,
    "own_negative": False,
}
_FILL_COLUMN = {"rows": -1, "frequency": 1.0, "of_positive": False}


def append_synthetic(context: SimilarityContext, made: Tensor) -> SimilarityContext:
    """Append every anchor's own synthetic candidates as columns that it may choose.

    An anchor that may choose nothing gets none either: there is nothing to make them of.

    Column N + s of row i is anchor i's cosine with ``made[i, s]``. Extras with a value per
    candidate are padded with "nothing is known": similarity -1, no overlap, not true, row -1.
    ``candidates`` stays as it is, because the new columns differ from row to row.

    Args:
        context: A context of N columns with the extra ``anchors``.
        made: ``(B, S, d)`` normalised embeddings.

    Returns:
        A context of N + S columns, the last S marked ``synthetic``.
    """
    anchors = context.require("anchors")
    batch, count, _ = made.shape
    similarity = torch.einsum("bd,bsd->bs", anchors, made.to(anchors.dtype))  # (B, S)
    similarity = similarity.clamp(-1, 1).to(context.similarity.dtype)
    columns = context.similarity.shape[1]
    old = context.synthetic
    if old is None:
        old = torch.zeros(columns, dtype=torch.bool, device=made.device)
    changes: dict[str, Any] = {
        "similarity": torch.cat([context.similarity, similarity], dim=1),
        "negative_mask": torch.cat(
            [context.negative_mask, (context.eligible > 0).expand(batch, count)], dim=1
        ),
        "synthetic": torch.cat([old, torch.ones(count, dtype=torch.bool, device=made.device)]),
    }
    for name, fill in _FILL.items():
        value = getattr(context, name)
        if value is not None:
            pad = value.new_full((*value.shape[:-2], batch, count), fill)
            changes[name] = torch.cat([value, pad], dim=-1)
    for name, fill in _FILL_COLUMN.items():
        value = getattr(context, name)
        if value is not None:
            changes[name] = torch.cat([value, value.new_full((count,), fill)])
    return context.replace(**changes)
