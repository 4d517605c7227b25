"""Regimes: with which labels an encoder is trained, in which phases, one a file.

A regime is a frozen dataclass with ``phases(budget) -> tuple[Phase, ...]``; the engine trains the
same encoder through them, one after the other.
"""

from nsbench.benchmarks.regimes._types import (
    VARIANTS,
    FirstPhase,
    Phase,
    Regime,
    check_labels,
    check_nli,
)
from nsbench.samplers import Registry

regimes: Registry[Regime] = Registry(
    "regime", "nsbench.benchmarks.regimes", group="nsbench.regimes"
)
register = regimes.register

__all__ = [
    "VARIANTS",
    "FirstPhase",
    "Phase",
    "Regime",
    "check_labels",
    "check_nli",
    "regimes",
    "register",
]
