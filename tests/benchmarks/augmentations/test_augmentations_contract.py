"""Augmentations that break a law are found out by it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from nsbench.benchmarks.augmentations import Augmentation, TokenView
from nsbench.benchmarks.testing.augmentations import (
    AUGMENTATIONS,
    check_augmentation,
)
from nsbench.samplers.testing import ContractError


def writes_in_place(view: TokenView, generator: torch.Generator | None) -> TokenView:
    """Broken: zeroes the given ids."""
    view.ids.zero_()
    return view


@dataclass(frozen=True)
class GlobalDice:
    """Broken: draws from torch's own generator."""

    stochastic: ClassVar[bool] = True

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        return view.scaled(torch.rand(len(view.ids), 1, view.width))


def secretive(view: TokenView, generator: torch.Generator | None) -> TokenView:
    """Broken: is random and does not say so."""
    noise = torch.rand((len(view.ids), 1, view.width), generator=generator)
    return view.scaled(noise.to(view.ids.device))


def asks(view: TokenView, generator: torch.Generator | None) -> TokenView:
    """Broken: asks the device how long the longest text is."""
    longest = int(view.lengths.max())
    return view.replace(
        ids=view.ids[:, :longest],
        mask=view.mask[:, :longest],
        positions=view.positions[:, :longest],
    )


def empties(view: TokenView, generator: torch.Generator | None) -> TokenView:
    """Broken: takes every token away."""
    return view.replace(mask=torch.zeros_like(view.mask))


@dataclass(frozen=True)
class Unbounded:
    """Broken: takes any rate."""

    rate: float = 0.1

    def __call__(self, view: TokenView, generator: torch.Generator | None) -> TokenView:
        return view


BROKEN: list[tuple[Augmentation, str]] = [
    (writes_in_place, "leaves_its_input_untouched"),
    (GlobalDice(), "repeats_itself"),
    (secretive, "varies_with_the_generator"),
    (asks, "never_waits_for_the_device"),
    (empties, "keeps_rows_in_order"),
    (Unbounded(), "refuses_illegal_parameters"),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_suite_catches(broken: Any, law: str) -> None:
    check = next(one for one in AUGMENTATIONS.laws if one.name == law)
    with pytest.raises(ContractError):
        check(broken)
    with pytest.raises(ContractError, match=r"breaks \w+: "):
        check_augmentation(broken)
