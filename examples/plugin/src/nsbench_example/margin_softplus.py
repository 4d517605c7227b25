"""A soft hinge on the mean margin of each anchor.

Source: an example of a plugin, from nsbench's own repository.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from nsbench.samplers import Selection, SimilarityContext, in_range


@dataclass(frozen=True)
class MarginSoftplus:
    """Mean of softplus((s_neg - s_pos) / temperature) over the chosen negatives.

    Args:
        temperature: Divides the margin, in (0, 10].
    """

    temperature: float = 0.1

    def __post_init__(self) -> None:
        in_range("margin_softplus", "temperature", self.temperature, 0, 10, open_low=True)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """``(B,)`` losses, 0 without a negative."""
        similarity = similarity.float()  # half precision has no 1e-12
        positive = similarity.gather(1, context.positive[:, None])
        weight = selection.mask.to(similarity.dtype)
        if selection.log_weight is not None:
            # exp(-inf) is 0, and what was not chosen has no say.
            weight = selection.log_weight.masked_fill(~selection.mask, float("-inf")).exp()
        rows = (softplus((similarity - positive) / self.temperature) * weight).sum(dim=1)
        return rows / weight.sum(dim=1).clamp(min=1e-12)
