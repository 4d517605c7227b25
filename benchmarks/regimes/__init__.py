"""Regimes: with which labels an encoder is trained, in which phases, one a file.

A regime is a frozen dataclass with ``phases(budget) -> tuple[Phase, ...]``; the engine trains the
same encoder through them, one after the other.
"""

from collections.abc import Callable
from dataclasses import field
from typing import dataclass_transform

from nsbench.benchmarks.regimes._types import (
    FirstPhase,
    Phase,
    Regime,
    check_labels,
)
from nsbench.samplers import Registry

regimes: Registry[Regime] = Registry(
    "regime", "nsbench.benchmarks.regimes", group="nsbench.regimes"
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> Callable[[type[Regime]], type[Regime]]:
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return regimes.component(name)


__all__ = [
    "FirstPhase",
    "Phase",
    "check_labels",
    "regimes",
    "register",
]
