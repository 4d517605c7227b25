"""EDA's random swap: a few pairs of words change places.

Source: Wei and Zou 2019, EDA, section 2 (RS). The pairs are disjoint here, where EDA draws each
swap independently and may undo it. https://arxiv.org/abs/1901.11196
"""

from dataclasses import field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView, register, uniform
from nsbench.benchmarks.augmentations._words import (
    attach,
    content,
    continuations,
    edits,
    rebuilt,
    words,
)
from nsbench.samplers import Interval


@register("eda_swap")
class EdaSwap:
    """Swap max(1, int(rate * w)) disjoint pairs out of a text's w words; a pair needs two words.

    The tokens of a word stay together. The words of a text are the same before and after, so a
    bag of tokens does not see it.

    Args:
        rate: Swaps per word, in [0, 1]; no more than w / 2 swaps. 0 is the identity.
    """

    rate: Annotated[float, Interval("[0, 1]")] = 0.1
    goes_on: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    stochastic: ClassVar[bool] = True
    needs_order: ClassVar[bool] = True

    def bind(self, encoder: Any) -> "EdaSwap":
        """The augmentation with the word boundaries of an encoder's vocabulary."""
        return attach(self, goes_on=continuations(encoder))

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        if self.rate == 0:
            return view
        word, count = words(view, self.goes_on)
        size = view.ids.shape[1]
        slot = torch.arange(size, device=view.ids.device).expand_as(view.ids)
        lot = uniform(tuple(view.ids.shape), view.mask, generator)
        order = lot.masked_fill(slot >= count[:, None], 2.0).argsort(dim=1)  # words, shuffled
        swapped = 2 * edits(count, self.rate).minimum(count // 2)
        mate = torch.where(slot < swapped[:, None], slot ^ 1, slot).clamp(max=size - 1)
        goes_to = torch.empty_like(slot).scatter_(1, order, order.gather(1, mate))  # by word
        # Specials and pads keep their ends of the row, words are ordered by where they go.
        key = torch.where(content(view), goes_to.gather(1, word), size + slot)
        key = torch.where(slot < view.head, -1, key)
        return rebuilt(view, key.argsort(dim=1, stable=True), view.lengths)
