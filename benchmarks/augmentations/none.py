"""The identity: the encoder sees the text as it is.

Source: the None row of ConSERT's augmentation grid, Yan et al. 2021.
https://aclanthology.org/2021.acl-long.393
"""

import torch

from nsbench.benchmarks.augmentations import TokenView, register


@register("none")
class NoAugmentation:
    """Leave the view alone; two such views of one text are identical unless the encoder drops."""

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        return view
