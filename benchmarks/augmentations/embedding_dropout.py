"""ConSERT's dropout: single elements of the embedding matrix are set to zero, by exact count.

Source: Yan et al. 2021, ConSERT, section 3.2 (Dropout); the exact count and the missing rescale
are those of the released code. https://aclanthology.org/2021.acl-long.393
"""

from dataclasses import field
from typing import Annotated, Any, ClassVar, Self

import torch

from nsbench.benchmarks.augmentations import TokenView, choose_exactly, register, share_of
from nsbench.benchmarks.augmentations._elements import choose_elements
from nsbench.benchmarks.augmentations._words import attach
from nsbench.samplers import Interval


@register("embedding_dropout")
class EmbeddingDropout:
    """Zero exactly int(n * d * rate) elements of a text's n real token embeddings; no rescale.

    Args:
        rate: Share of elements set to zero, in [0, 1]. 0 is the identity.
    """

    rate: Annotated[float, Interval("[0, 1]")] = 0.2
    sums: bool = field(default=False, init=False, repr=False, compare=False)
    stochastic: ClassVar[bool] = True
    arithmetic_of_sums: ClassVar[int] = 2  # 1 drew a number for each element, pads included

    def bind(self, encoder: Any) -> Self:
        """The augmentation that draws as the encoder reads it: bytes where it sums tokens."""
        return attach(self, sums=bool(getattr(encoder, "sums_tokens", False)))

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        batch, length = view.mask.shape
        count = share_of(view.lengths * view.width, self.rate)  # (B,)
        if self.sums and view.readable:
            total = view.lengths * view.width
            return view.keeping(choose_elements(view.lengths, view.width, total - count, generator))
        real = view.mask[:, :, None].expand(batch, length, view.width).reshape(batch, -1)
        dropped = choose_exactly(real, count, generator).view(batch, length, view.width)
        return view.scaled((~dropped).float())
