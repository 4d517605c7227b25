"""Token shuffling: the position ids of the real tokens are permuted, the tokens stay in order.

Source: Yan et al. 2021, ConSERT, section 3.2 (Token Shuffling); as in the released code [CLS] and
[SEP] take part. https://aclanthology.org/2021.acl-long.393
"""

from typing import ClassVar

import torch

from nsbench.benchmarks.augmentations import TokenView, register, uniform


@register("token_shuffle")
class TokenShuffle:
    """Give each text's n real tokens a random permutation of the positions 0 .. n-1."""

    needs_positions: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        lot = uniform(tuple(view.mask.shape), view.mask, generator)
        # Padding keeps its place at the end, in order, whatever it drew.
        lot = torch.where(view.mask, lot, view.positions + 1.0)
        return view.replace(positions=view.positions.gather(1, lot.argsort(dim=1, stable=True)))
