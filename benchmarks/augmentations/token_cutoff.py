"""Token cutoff: whole rows of the embedding matrix are set to zero.

Source: Yan et al. 2021, ConSERT, section 3.2 (Token Cutoff), after Shen et al. 2020; exact count
and untouched attention mask as in the released code. https://aclanthology.org/2021.acl-long.393
"""

from typing import Annotated, ClassVar

import torch

from nsbench.benchmarks.augmentations import TokenView, choose_exactly, register, share_of
from nsbench.samplers import Interval


@register("token_cutoff")
class TokenCutoff:
    """Zero the embeddings of exactly int(n * rate) of a text's n real tokens.

    [CLS] and [SEP] can be cut; a cut token is still attended to and still counts in the mean. A
    text of fewer than 1 / rate tokens is left as it is: a no-op, which the engine counts.

    Args:
        rate: Share of tokens cut, in [0, 1]. 0 is the identity.
    """

    rate: Annotated[float, Interval("[0, 1]")] = 0.15
    stochastic: ClassVar[bool] = True

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        count = share_of(view.lengths, self.rate)  # (B,)
        dropped = choose_exactly(view.mask, count, generator)  # (B, L)
        return view.scaled((~dropped).float()[:, :, None])
