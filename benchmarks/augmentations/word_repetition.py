"""ESimCSE's word repetition: some sub-word tokens are repeated, so that length says less.

Source: Wu et al. 2022, ESimCSE; the number of repetitions is that of the released
code. It repeats once, at preprocessing; here every step draws again, as with any other view.
https://arxiv.org/abs/2109.04380
"""

from typing import Annotated, ClassVar

import torch

from nsbench.benchmarks.augmentations import TokenView, choose_exactly, register, share_of, uniform
from nsbench.benchmarks.augmentations._words import content, rebuilt
from nsbench.samplers import Interval


@register("word_repetition")
class WordRepetition:
    """Repeat k different sub-word tokens of a text of n in place; ESimCSE's second view.

    k is uniform in 0 .. min(most, int(n * rate)) - 1, so that a text shorter than 2 / rate tokens
    is left alone, and [CLS] and [SEP] are never repeated. Rows grow beyond the longest training
    text, never beyond the encoder's longest.

    Args:
        rate: Share of tokens that bounds k, in [0, 1]. 0 is the identity; ESimCSE has 0.32 for
            BERT, 0.30 for RoBERTa-base, 0.28 for RoBERTa-large.
        most: Second bound of k, >= 1.
    """

    rate: Annotated[float, Interval("[0, 1]")] = 0.32
    most: Annotated[int, Interval("[1, inf)")] = 10
    stochastic: ClassVar[bool] = True

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        batch, length = view.ids.shape
        grown = min(self.most, int(length * self.rate)) - 1
        grown = min(grown, max(0, view.limit - length))
        if grown < 1:
            return view
        inside = content(view)  # (B, L)
        bound = share_of(view.lengths, self.rate).clamp(max=self.most)
        lot = uniform((batch,), view.mask, generator)
        count = (lot * bound).long().clamp(max=grown).minimum(inside.sum(dim=1))  # (B,)
        twice = choose_exactly(inside, count, generator)
        ends = (1 + twice.long()).cumsum(dim=1)  # (B, L) first place after each token's copies
        place = torch.arange(length + grown, device=view.ids.device).expand(batch, -1)
        source = torch.searchsorted(ends, place.contiguous(), right=True).clamp(max=length - 1)
        return rebuilt(view, source, view.lengths + count)
