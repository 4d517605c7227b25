"""Augmentations: how a view of a text is made, in or before the embedding layer, one a file.

An augmentation is a frozen dataclass with ``__call__(view, generator) -> TokenView``. It is
vectorised over the batch, never waits for the device, and draws from ``generator`` alone.
"""

from collections.abc import Callable
from dataclasses import field
from typing import dataclass_transform

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


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> Callable[[type[Augmentation]], type[Augmentation]]:
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return augmentations.component(name)


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
