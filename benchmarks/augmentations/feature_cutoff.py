"""Feature cutoff: whole columns of the embedding matrix are set to zero.

Source: Yan et al. 2021, ConSERT, section 3.2 (Feature Cutoff), after Shen et al. 2020; exact count
as in the released code. https://aclanthology.org/2021.acl-long.393
"""

from typing import Annotated, ClassVar

import torch

from nsbench.benchmarks.augmentations import TokenView, choose_exactly, register
from nsbench.samplers import Interval


@register("feature_cutoff")
class FeatureCutoff:
    """Zero exactly int(d * rate) of the d columns for all tokens of a text, its own columns each.

    Args:
        rate: Share of columns cut, in [0, 1]. 0 is the identity.
    """

    rate: Annotated[float, Interval("[0, 1]")] = 0.2
    stochastic: ClassVar[bool] = True

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        batch = view.mask.shape[0]
        columns = torch.ones(batch, view.width, dtype=torch.bool, device=view.mask.device)
        count = torch.full((batch,), int(view.width * self.rate), device=view.mask.device)
        dropped = choose_exactly(columns, count, generator)  # (B, d)
        return view.scaled((~dropped).float()[:, None, :])
