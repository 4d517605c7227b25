"""EDA's random insertion: synonyms of some words are put in at random places.

Source: Wei and Zou 2019, EDA, section 2 (RI). Synonyms are WordNet's there, the first of an
unordered set; any table's here, drawn at random, and both words must be single tokens of the
vocabulary. https://arxiv.org/abs/1901.11196
"""

import torch

from nsbench.benchmarks.augmentations import TokenView, register, uniform
from nsbench.benchmarks.augmentations._synonyms import WithSynonyms
from nsbench.benchmarks.augmentations._words import (
    content,
    edits,
    rebuilt,
    whole_numbers,
    words,
)
from nsbench.benchmarks.augmentations.eda_synonym import replaceable


@register("eda_insert")
class EdaInsert(WithSynonyms):
    """Insert max(1, int(rate * w)) synonyms of a text's own w words, each before a random word.

    Words are drawn with replacement among those that have a synonym; a text without any is left
    alone. Rows never grow beyond the encoder's longest.

    Args:
        rate: Insertions per word, in [0, 1]. 0 is the identity.
        source: ``planted`` for the lexicon of the planted language, a file with a word and its
            synonyms on each line, or the ``dict`` folder of a copy of WordNet.
    """

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        batch, length = view.ids.shape
        most = min(max(1, int(length * self.rate)), max(0, view.limit - length))
        if self.rate == 0 or most == 0:
            return view
        if self.options is None or self.counts is None:
            raise ValueError("eda_insert: bind(encoder) it first")
        word, count = words(view, self.goes_on)
        can = replaceable(view, self.goes_on, self.counts)
        lot = uniform((batch, most, length), view.mask, generator)
        where = lot.masked_fill(~can[:, None, :], -1.0).argmax(dim=2)  # (B, most) whose synonym
        token = view.ids.gather(1, where).reshape(-1)
        number = whole_numbers(self.counts[token], 1, view.mask, generator)
        new = self.options[token].gather(1, number).view(batch, most)
        before = whole_numbers(count, most, view.mask, generator)  # (B, most) word it precedes
        added = torch.where(can.any(dim=1), edits(count, self.rate).clamp(max=most), 0)
        slot = torch.arange(most, device=view.ids.device)
        place = torch.arange(length, device=view.ids.device)
        # One order of old and new tokens: a new one stands before all tokens of its word.
        last = 3 * length + place
        old_key = torch.where(content(view), 2 * word + 1, last)
        old_key = torch.where(place < view.head, -1, old_key)
        old_key = torch.where(view.mask, old_key, old_key + 2 * length)
        new_key = torch.where(slot < added[:, None], 2 * before, 9 * length)
        order = torch.cat([old_key, new_key], dim=1).argsort(dim=1, stable=True)
        ids = torch.cat([view.ids, new], dim=1).gather(1, order)
        source = torch.cat([place.expand_as(view.ids), where], dim=1).gather(1, order)
        return rebuilt(view, source, view.lengths + added, ids)
