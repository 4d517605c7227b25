"""ConSERT's dropout: single elements of the embedding matrix are set to zero, by exact count.

Source: Yan et al. 2021, ConSERT, section 3.2 (Dropout); the exact count and the missing rescale
are those of the released code. https://aclanthology.org/2021.acl-long.393
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from nsbench.benchmarks.augmentations import TokenView, choose_exactly, register, share_of
from nsbench.samplers import in_range


@register("embedding_dropout")
@dataclass(frozen=True)
class EmbeddingDropout:
    """Zero exactly int(n * d * rate) elements of a text's n real token embeddings; no rescale.

    Args:
        rate: Share of elements set to zero, in [0, 1]. 0 is the identity.
    """

    rate: float = 0.2
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        in_range("embedding_dropout", "rate", self.rate, 0, 1)

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        batch, length = view.mask.shape
        real = view.mask[:, :, None].expand(batch, length, view.width).reshape(batch, -1)
        count = share_of(view.lengths * view.width, self.rate)  # (B,)
        dropped = choose_exactly(real, count, generator).view(batch, length, view.width)
        return view.scaled((~dropped).float())
