"""EDA's synonym replacement: a few words give way to a synonym.

Source: Wei and Zou 2019, EDA, section 2 (SR). Synonyms are WordNet's there and any table's here;
both words must be single tokens of the vocabulary; stop words are not spared, and each occurrence
is drawn independently. https://arxiv.org/abs/1901.11196
"""

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView, choose_exactly, register
from nsbench.benchmarks.augmentations._synonyms import WithSynonyms
from nsbench.benchmarks.augmentations._words import (
    content,
    edits,
    whole_numbers,
    words,
)


def replaceable(view: TokenView, goes_on: Tensor | None, counts: Tensor) -> Tensor:
    """``(B, L)`` bool, True for words of one token that have a synonym."""
    word, _ = words(view, goes_on)
    inside = content(view)
    later = torch.nn.functional.pad(word[:, 1:], (0, 1), value=-1)
    before = torch.nn.functional.pad(word[:, :-1], (1, 0), value=-1)
    beyond = torch.nn.functional.pad(inside[:, 1:], (0, 1))
    ahead = torch.nn.functional.pad(inside[:, :-1], (1, 0))
    alone = ~((later == word) & beyond) & ~((before == word) & ahead)
    return inside & alone & (counts[view.ids] > 0)


@register("eda_synonym")
class EdaSynonym(WithSynonyms):
    """Replace max(1, int(rate * w)) of a text's w words by a random synonym of each.

    A text with fewer words that have a synonym has all of those replaced; one with none is left
    alone: a no-op, which the engine counts.

    Args:
        rate: Share of the words, in [0, 1]. 0 is the identity.
        source: ``planted`` for the lexicon of the planted language, a file with a word and its
            synonyms on each line, or the ``dict`` folder of a copy of WordNet.
    """

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        if self.rate == 0:
            return view
        if self.options is None or self.counts is None:
            raise ValueError("eda_synonym: bind(encoder) it first")
        _, count = words(view, self.goes_on)
        can = replaceable(view, self.goes_on, self.counts)
        chosen = choose_exactly(can, edits(count, self.rate).minimum(can.sum(dim=1)), generator)
        number = whole_numbers(self.counts[view.ids].reshape(-1), 1, view.mask, generator)
        other = self.options[view.ids.reshape(-1)].gather(1, number).view_as(view.ids)
        return view.replace(ids=torch.where(chosen, other, view.ids))
