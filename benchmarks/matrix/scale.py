"""A shorter matrix for a trial: the same cells, fewer steps."""

from collections.abc import Mapping
from typing import Any

from nsbench.benchmarks.matrix.config import Entry, MatrixConfig
from nsbench.samplers import in_range


def scaled(settings: MatrixConfig, factor: float) -> MatrixConfig:
    """A matrix whose steps, and the steps between looks and measurements, are fewer.

    Batch sizes, data, seeds and the number of cells stay. The name says the factor, so that the
    trial gets a separate folder.

    Args:
        settings: The matrix.
        factor: In (0, 1].
    """
    in_range("--scale", "factor", factor, 0, 1, open_low=True)
    budget = settings.budget.model_copy(update={"steps": _fewer(settings.budget.steps, factor)})
    every = _fewer(settings.evaluation.dev_every, factor)
    difficulty = {"every": _fewer(settings.difficulty.every, factor)}
    return settings.model_copy(
        update={
            "name": f"{settings.name}-x{factor:g}",
            "budget": budget,
            "evaluation": settings.evaluation.model_copy(update={"dev_every": every}),
            "difficulty": settings.difficulty.model_copy(update=difficulty),
            "regimes": [_phases(entry, factor) for entry in settings.regimes],
        }
    )


def _phases(entry: Entry, factor: float) -> Entry:
    """A regime whose own first phase, if it has a number of steps, is shorter as well."""
    if isinstance(entry, Mapping) and entry.get("steps"):
        return {**entry, "steps": _fewer(entry["steps"], factor)}
    return entry


def _fewer(steps: Any, factor: float) -> Any:
    if isinstance(steps, list):
        return [_fewer(s, factor) for s in steps]
    return max(1, round(steps * factor))
