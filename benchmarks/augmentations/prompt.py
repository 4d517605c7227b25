"""Template views: the text is put inside a sentence about it.

Source: Jiang et al. 2022, PromptBERT (two templates as the two views of a text). There
the embedding is the state at [MASK] and the template is also used at test time; here the encoder
pools as it always does, and texts are encoded bare when they are scored.
https://arxiv.org/abs/2201.04337
"""

from dataclasses import field
from typing import Any, ClassVar

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView, register
from nsbench.benchmarks.augmentations._words import attach, content, device_of, rebuilt

HOLE, MASK = "{text}", "{mask}"


@register("prompt")
class Prompt:
    """Put a template's tokens around the text, between [CLS] and [SEP].

    A text that would not fit the encoder's longest row together with its template is cut short.

    Args:
        template: The sentence around ``{text}``; ``{mask}`` is the vocabulary's mask token, or
            nothing where it has none. ``{text}`` alone is the identity.
    """

    template: str = 'This sentence : "{text}" means {mask} .'
    prefix: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    suffix: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    test_configs: ClassVar = ({"template": "{text}"}, {"template": "the {text}"})

    def __post_init__(self) -> None:
        if not isinstance(self.template, str) or self.template.count(HOLE) != 1:
            raise ValueError(f"prompt: template must hold {HOLE} once, got {self.template!r}")

    def bind(self, encoder: Any) -> "Prompt":
        """The augmentation with its template in an encoder's tokens."""
        tokenizer, device = encoder.tokenizer, device_of(encoder)
        filled = self.template.replace(MASK, tokenizer.mask_token or "")

        def tokens(text: str) -> Tensor:
            ids = tokenizer(text.strip(), add_special_tokens=False)["input_ids"]
            return torch.tensor(ids, dtype=torch.long, device=device)

        before, after = filled.split(HOLE)
        return attach(self, prefix=tokens(before), suffix=tokens(after))

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        if self.prefix is None or self.suffix is None:
            raise ValueError("prompt: bind(encoder) it first")
        first, last = len(self.prefix), len(self.suffix)
        batch, length = view.ids.shape
        width = min(length + first + last, max(view.limit, length))
        room = max(0, width - view.head - view.tail - first - last)
        body = content(view).sum(dim=1).clamp(max=room)[:, None]  # (B, 1) tokens of the text
        place = torch.arange(width, device=view.ids.device).expand(batch, -1)
        end = view.head + first + body  # (B, 1) where the text ends
        inside = (place >= view.head + first) & (place < end)
        closing = place - (end + last)  # counts the special tokens after the suffix
        source = torch.where(inside, place - first, place)
        source = torch.where(closing >= 0, view.lengths[:, None] - view.tail + closing, source)
        ids = view.ids.gather(1, source.clamp(0, length - 1))
        ids = _written(ids, self.prefix, place - view.head)
        ids = _written(ids, self.suffix, place - end)
        lengths = (end[:, 0] + last + view.tail).clamp(max=width)
        return rebuilt(view, source.clamp(0, length - 1), lengths, ids)


def _written(ids: Tensor, tokens: Tensor, index: Tensor) -> Tensor:
    """``ids`` with ``tokens[index]`` wherever ``index`` is one of theirs."""
    if len(tokens) == 0:
        return ids
    there = (index >= 0) & (index < len(tokens))
    return torch.where(there, tokens[index.clamp(0, len(tokens) - 1)], ids)
