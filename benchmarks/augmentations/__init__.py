"""Augmentations: how a view of a text is made, in or before the embedding layer, one a file.

An augmentation is a frozen dataclass with ``__call__(view, generator) -> TokenView``. It is
vectorised over the batch, never waits for the device, and draws from ``generator`` alone.
"""

from nsbench.benchmarks.augmentations._elements import ones_of
from nsbench.benchmarks.augmentations._types import (
    Augmentation,
    TokenView,
    bound,
    choose_exactly,
    share_of,
    uniform,
)
from nsbench.samplers import Registry

augmentations: Registry[Augmentation] = Registry(
    "augmentation", "nsbench.benchmarks.augmentations", group="nsbench.augmentations"
)
register = augmentations.register

__all__ = [
    "Augmentation",
    "TokenView",
    "augmentations",
    "bound",
    "choose_exactly",
    "ones_of",
    "register",
    "share_of",
    "uniform",
]
