"""Adversarial attack: every token embedding is moved a step up the gradient of a loss.

Source: Yan et al. 2021, ConSERT, section 3.2 (Adversarial Attack) and its code: the gradient of
the supervised entailment loss, normalised token by token. Where a cell has no such loss, the
gradient is NT-Xent's: our extension, not in the paper. https://aclanthology.org/2021.acl-long.393
"""

from typing import Annotated

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView, register
from nsbench.samplers import Interval


@register("adversarial")
class Adversarial:
    """Add epsilon * g_t / |g_t| to token t, g the gradient of the loss at the clean views.

    The engine computes g in a separate pass, counted as ``passes_attack``; weights get no
    gradient from it. A token without gradient, pads among them, stays where it is.

    Args:
        epsilon: Length of each token's step, in [0, 1000]. 0 is the identity. ConSERT's class has
            0.01, its command line 1; the paper does not say.
    """

    epsilon: Annotated[float, Interval("[0, 1000]")] = 1.0

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        """Leave the view alone: there is no gradient yet."""
        return view

    def perturb(self, view: TokenView, gradient: Tensor) -> TokenView:
        """The view moved by its step.

        Args:
            view: The clean view.
            gradient: ``(B, L, d)`` of the loss with respect to its embedding-layer output.
        """
        length = torch.linalg.vector_norm(gradient, dim=2, keepdim=True)
        # A gradient that only rounding kept from zero has no direction.
        step = torch.where(length > 1e-20, self.epsilon * gradient / (length + 1e-10), 0.0)
        return view.replace(shift=step if view.shift is None else view.shift + step)
