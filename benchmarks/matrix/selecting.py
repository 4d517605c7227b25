"""Selection of cells of a matrix by patterns on their settings."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from nsbench.benchmarks.records.cell import Cell, Planned

AXES = (
    "sampler",
    "augmentation",
    "objective",
    "candidates",
    "encoder",
    "data",
    "regime",
    "seed",
    "key",
)
"""Axes that a pattern of ``--only`` may name."""


def only(planned: list[Planned], patterns: Sequence[str]) -> list[Planned]:
    """Return the cells that match one of the patterns.

    A pattern is a glob on the cell's sampler, its text (``hard(k=4) x none, seed 1``) or its key;
    or ``axis=glob``, such as ``candidates=queue*`` or ``seed=1``, on one of `AXES`. A plain glob
    never meets the name of another axis: ``in_batch*`` is the sampler, not the pool.

    Raises:
        ValueError: If a pattern matches nothing.
    """
    if not patterns:
        return planned
    kept = [p for p in planned if any(_matches(p.cell, pattern) for pattern in patterns)]
    for pattern in patterns:
        if not any(_matches(p.cell, pattern) for p in planned):
            raise ValueError(
                f"--only {pattern!r} matches no cell; cells read like {planned[0].cell}. A pattern "
                f"is a glob on the sampler, the whole text or the key, or AXIS=GLOB for one of "
                f"{', '.join(AXES)}"
            )
    return kept


def _matches(cell: Cell, pattern: str) -> bool:
    axis, equals, glob = pattern.partition("=")
    if equals and axis in AXES:
        return any(fnmatchcase(text, glob) for text in _on_axis(cell, axis))
    texts = (str(cell), cell.key, *_on_axis(cell, "sampler"))
    return any(fnmatchcase(text, pattern) for text in texts)


def _on_axis(cell: Cell, axis: str) -> tuple[str, ...]:
    """Return the texts that stand for a cell on one axis: its label, and its bare name."""
    if axis in ("seed", "key"):
        return (str(getattr(cell, axis)),)
    label = cell.labels[axis]
    chosen = getattr(cell, axis)
    return (label,) if isinstance(chosen, str) else (label, chosen.name)
