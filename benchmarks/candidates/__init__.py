"""Candidate pools: which columns an anchor can be contrasted with, one a file.

A pool adds columns to those of the batch itself. It is a frozen dataclass with
``open(world) -> OpenPool``; the open pool lives as long as the cell and holds the state.
"""

from nsbench.benchmarks.candidates._types import CandidatePool, OpenPool
from nsbench.samplers import Registry

candidates: Registry[CandidatePool] = Registry(
    "candidate pool", "nsbench.benchmarks.candidates", group="nsbench.candidates"
)
register = candidates.register

__all__ = ["CandidatePool", "OpenPool", "candidates", "register"]
