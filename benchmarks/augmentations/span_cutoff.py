"""Span cutoff: a contiguous run of rows of the embedding matrix is set to zero.

Source: Shen et al. 2020, A Simple but Tough-to-Beat Data Augmentation Approach for Natural Language
Understanding and Generation (span cutoff); in ConSERT's code, not in its paper.
https://arxiv.org/abs/2009.13818
"""

from typing import Annotated, ClassVar

import torch

from nsbench.benchmarks.augmentations import TokenView, register, share_of, uniform
from nsbench.samplers import Interval


@register("span_cutoff")
class SpanCutoff:
    """Zero the embeddings of int(n * rate) neighbouring tokens out of a text's n real ones.

    Every start is equally likely. As in token cutoff, special tokens can be cut and cut tokens are
    still attended to.

    Args:
        rate: Share of tokens cut, in [0, 1]. 0 is the identity.
    """

    rate: Annotated[float, Interval("[0, 1]")] = 0.15
    stochastic: ClassVar[bool] = True

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        count = share_of(view.lengths, self.rate)  # (B,)
        starts = view.lengths - count + 1
        lot = uniform((len(view.ids),), view.mask, generator)
        start = (lot * starts).long().minimum(starts - 1)
        place = torch.arange(view.ids.shape[1], device=view.ids.device)
        dropped = (place >= start[:, None]) & (place < (start + count)[:, None])  # (B, L)
        return view.scaled((~dropped).float()[:, :, None])
