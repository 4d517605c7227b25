"""Negative samplers: which candidates an anchor is pushed away from, and how strongly.

Torch and the standard library only; this package knows nothing of training. A sampler is a frozen
dataclass with ``__call__(context) -> Selection``; see `Sampler`.
"""

if __name__ != "nsbench.samplers":  # a second import name would make a second registry
    raise ImportError(f"import nsbench.samplers, not {__name__}")

import importlib
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any, dataclass_transform

from nsbench.samplers._plugins import PLUGIN_PATH
from nsbench.samplers._ranges import Choice, Interval, at_least, in_range, one_of, suggest
from nsbench.samplers._registry import (
    Entry,
    Registry,
    UnknownNameError,
    named_within,
    parse_choice,
)

if TYPE_CHECKING:
    from nsbench.samplers._schedule import scheduled
    from nsbench.samplers._synthetic import append_synthetic
    from nsbench.samplers._types import (
        EXTRAS,
        TEMPERATURE,
        Objective,
        Pairing,
        Sampler,
        Selection,
        SimilarityContext,
        places,
    )

_WITH_TORCH = ("_types", "_synthetic", "_schedule")
"""Modules that import torch, which takes over a second: imported when a name of them is used."""


def __getattr__(name: str) -> Any:
    """Import a name of a module of `_WITH_TORCH` on first use."""
    for module in _WITH_TORCH if name in __all__ else ():
        found = importlib.import_module(f"{__name__}.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


samplers: "Registry[Sampler]" = Registry("sampler", "nsbench.samplers")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> "Callable[[type[Sampler]], type[Sampler]]":
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return samplers.component(name)


make = samplers.make


__all__ = [
    "EXTRAS",
    "PLUGIN_PATH",
    "TEMPERATURE",
    "Choice",
    "Entry",
    "Interval",
    "Objective",
    "Pairing",
    "Registry",
    "Sampler",
    "Selection",
    "SimilarityContext",
    "UnknownNameError",
    "append_synthetic",
    "at_least",
    "in_range",
    "make",
    "named_within",
    "one_of",
    "parse_choice",
    "places",
    "register",
    "samplers",
    "scheduled",
    "suggest",
]
