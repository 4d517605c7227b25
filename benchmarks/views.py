"""What became of a view: was the text left alone?"""

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView


def untouched(view: TokenView, plain: TokenView) -> Tensor:
    """``(B,)`` bool, True where nothing of a text's tokens was changed.

    Args:
        view: The augmented view.
        plain: The same texts as they are.
    """
    width = min(view.ids.shape[1], plain.ids.shape[1])
    real = view.mask[:, :width]
    same = (view.lengths == plain.lengths) & (
        (view.ids[:, :width] == plain.ids[:, :width]) | ~real
    ).all(dim=1)
    place = torch.arange(view.ids.shape[1], device=view.ids.device)
    same = same & ((view.positions == place) | ~view.mask).all(dim=1)
    if view.dropout:
        return torch.zeros_like(same)
    for value, neutral in ((view.scale, 1.0), (view.shift, 0.0)):
        if value is not None:
            kept = (value == neutral).all(dim=2).expand_as(view.mask) | ~view.mask
            same = same & kept.all(dim=1)
    return same
