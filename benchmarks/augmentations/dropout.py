"""SimCSE's positive: the same text twice, under two draws of the encoder's own dropout.

Source: Gao et al. 2021, SimCSE: Simple Contrastive Learning of Sentence Embeddings, section 3.
https://arxiv.org/abs/2104.08821
"""

from typing import Annotated, ClassVar

import torch

from nsbench.benchmarks.augmentations import TokenView, register
from nsbench.samplers import Interval


@register("dropout")
class Dropout:
    """Switch the encoder's own dropout on in this view (identity on the text itself).

    A transformer drops wherever it has a dropout layer, attention included; a static encoder
    drops single elements of its token embeddings. Elements that stay are divided by 1 - rate.

    Args:
        rate: Probability of dropping an element, in [0, 1). 0 is the identity.
    """

    rate: Annotated[float, Interval("[0, 1)")] = 0.1
    needs_dropout: ClassVar[bool] = True

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        return view.replace(dropout=self.rate)
