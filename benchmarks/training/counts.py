"""Counts of a step, left on the device."""

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.contrast.context import Masked
from nsbench.samplers import Selection


def counted(
    selection: Selection, loss: Tensor, masks: Masked, views: tuple[TokenView, TokenView]
) -> Tensor:
    """``(5,)``, see `Stepped`; negatives and empty rows are means over levels."""
    rows = selection.mask.numel() // selection.mask.shape[-1]
    empty = (~selection.mask.any(dim=-1)).sum()
    return torch.stack(
        [
            selection.mask.sum() / rows,
            empty * len(loss) / rows,
            masks.duplicate.sum(),
            masks.known.sum(),
            views[0].lengths.sum() + views[1].lengths.sum(),
        ]
    ).double()
