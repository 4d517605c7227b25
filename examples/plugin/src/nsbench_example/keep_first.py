"""Only the first tokens of a text.

Source: an example of a plugin, from nsbench's own repository.
"""

from dataclasses import dataclass

import torch

from nsbench.benchmarks.augmentations import TokenView
from nsbench.samplers import in_range


@dataclass(frozen=True)
class KeepFirst:
    """Zero the embeddings of all but the first share of a text's tokens.

    Args:
        share: Of the tokens kept, in (0, 1]; at least one is.
    """

    share: float = 0.75

    def __post_init__(self) -> None:
        in_range("keep_first", "share", self.share, 0, 1, open_low=True)

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        """Scale what is left out by 0."""
        kept = (view.lengths * self.share).ceil().clamp(min=1)[:, None]  # (B, 1)
        place = torch.arange(view.ids.shape[1], device=view.ids.device)
        return view.scaled((place < kept).float()[:, :, None])
