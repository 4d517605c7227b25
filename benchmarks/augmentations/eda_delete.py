"""EDA's random deletion: every word goes with a small probability.

Source: Wei and Zou 2019, EDA: Easy Data Augmentation Techniques for Boosting Performance on Text
Classification Tasks, section 2 (RD). https://arxiv.org/abs/1901.11196
"""

from dataclasses import field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView, register, uniform
from nsbench.benchmarks.augmentations._words import attach, content, continuations, rebuilt, words
from nsbench.samplers import Interval


@register("eda_delete")
class EdaDelete:
    """Delete every word with probability ``rate``, all of its tokens together; one always stays.

    Punctuation marks count as words; EDA strips them, and everything but a-z, beforehand.

    Args:
        rate: Probability of deleting a word, in [0, 1]. 0 is the identity.
    """

    rate: Annotated[float, Interval("[0, 1]")] = 0.1
    goes_on: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    stochastic: ClassVar[bool] = True

    def bind(self, encoder: Any) -> "EdaDelete":
        """The augmentation with the word boundaries of an encoder's vocabulary."""
        return attach(self, goes_on=continuations(encoder))

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        word, count = words(view, self.goes_on)
        lot = uniform(tuple(view.ids.shape), view.mask, generator)  # (B, L) one a word
        there = torch.arange(lot.shape[1], device=lot.device) < count[:, None]
        luckiest = lot.masked_fill(~there, -1.0).amax(dim=1, keepdim=True)
        stays = (lot >= self.rate) | (lot == luckiest)
        keep = view.mask & (~content(view) | stays.gather(1, word))
        return rebuilt(view, (~keep).long().argsort(dim=1, stable=True), keep.sum(dim=1))
