"""The untrained encoder: no step is taken, so every other row can be read as a change from it.

Source: the usual reference row, such as the untrained BERT rows of Yan et al. 2021, ConSERT.
https://aclanthology.org/2021.acl-long.393
"""

from typing import ClassVar

import torch

from nsbench.samplers import Selection, SimilarityContext, register


@register("no_training")
class NoTraining:
    """Take no step at all: the encoder as it was."""

    trains: ClassVar[bool] = False
    may_empty: ClassVar[bool] = True

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=torch.zeros_like(context.negative_mask))
