"""Candidate pools: which columns an anchor can be contrasted with, one a file.

A pool adds columns to those of the batch itself. It is a frozen dataclass with
``open(world) -> OpenPool``; the open pool lives as long as the cell and holds the state.
"""

from collections.abc import Callable
from dataclasses import field
from typing import dataclass_transform

from nsbench.benchmarks.candidates._types import CandidatePool, OpenPool
from nsbench.samplers import Registry

candidates: Registry[CandidatePool] = Registry(
    "candidate pool", "nsbench.benchmarks.candidates", group="nsbench.candidates"
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> Callable[[type[CandidatePool]], type[CandidatePool]]:
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return candidates.component(name)


__all__ = ["CandidatePool", "OpenPool", "candidates", "register"]
