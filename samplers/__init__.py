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
from nsbench.samplers._ranges import Choice, Interval, at_least, in_range, is_text, one_of, suggest
from nsbench.samplers._registry import (
    Entry,
    Parameter,
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

_WITH_TORCH = {
    "EXTRAS": "_types",
    "TEMPERATURE": "_types",
    "Objective": "_types",
    "Pairing": "_types",
    "Sampler": "_types",
    "Selection": "_types",
    "SimilarityContext": "_types",
    "append_synthetic": "_synthetic",
    "places": "_types",
    "scheduled": "_schedule",
}
"""Names whose modules import torch, which takes over a second: imported when they are used."""


def __getattr__(name: str) -> Any:
    """Import a name of `_WITH_TORCH` on first use."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)


samplers: "Registry[Sampler]" = Registry("sampler", "nsbench.samplers")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> "Callable[[type[Sampler]], type[Sampler]]":
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return samplers.component(name)


def make(name: str, /, **parameters: Any) -> "Sampler":
    """Construct a sampler by name.

    Raises:
        UnknownNameError: If no sampler has that name.
        ValueError: If a parameter is unknown or out of its range.
    """
    return samplers.make(name, **parameters)


__all__ = [
    "EXTRAS",
    "PLUGIN_PATH",
    "TEMPERATURE",
    "Choice",
    "Entry",
    "Interval",
    "Objective",
    "Pairing",
    "Parameter",
    "Registry",
    "Sampler",
    "Selection",
    "SimilarityContext",
    "UnknownNameError",
    "append_synthetic",
    "at_least",
    "in_range",
    "is_text",
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
