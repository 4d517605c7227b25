"""Selection of cells of a matrix by patterns on their settings."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from nsbench.benchmarks.records.cell import Cell, Planned
from nsbench.benchmarks.records.names import CellNames

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
METHOD_AXES = AXES[:-2]
"""Those of a method, which stands for cells of several seeds."""


def only(planned: list[Planned], patterns: Sequence[str]) -> list[Planned]:
    """Return the cells that match one of the patterns.

    A pattern is a glob on the cell's sampler, its text (``hard(k=4) x none, seed 1``) or its key;
    or ``axis=glob``, such as ``candidates=queue*`` or ``seed=1``, on one of `AXES`. A plain glob
    never meets the name of another axis: ``in_batch*`` is the sampler, not the pool. Names count
    in their short form, which leaderboards and progress lines show, and in full.

    Raises:
        ValueError: If a pattern matches nothing.
    """
    if not patterns:
        return planned
    names = CellNames([p.cell for p in planned])
    fitting = [[p for p in planned if fits(p.cell, x, names)] for x in patterns]
    for pattern, found in zip(patterns, fitting, strict=True):
        if not found:
            raise ValueError(
                f"--only {pattern!r} matches no cell; cells read like {names(planned[0].cell)}. A "
                "pattern is a glob on the sampler, the whole text or the key, or AXIS=GLOB for one "
                f"of {', '.join(AXES)}; names may be short, as shown, or hold all settings"
            )
    kept = {id(p) for found in fitting for p in found}
    return [p for p in planned if id(p) in kept]


def fits(cell: Cell, pattern: str, names: CellNames, *, of_method: bool = False) -> bool:
    """Return whether a pattern fits a cell, as `only` says.

    Args:
        cell: The cell.
        pattern: One pattern.
        names: Of all cells that are asked about.
        of_method: The cell stands for its method: its seed and its key are not looked at.
    """
    axis, equals, glob = pattern.partition("=")
    if equals and axis in (METHOD_AXES if of_method else AXES):
        return any(fnmatchcase(text, glob) for text in _on_axis(cell, axis, names))
    whole = (names.method(cell),) if of_method else (str(cell), names(cell), cell.key)
    return any(fnmatchcase(text, pattern) for text in (*whole, *_on_axis(cell, "sampler", names)))


def _on_axis(cell: Cell, axis: str, names: CellNames) -> tuple[str, ...]:
    """Return the texts that stand for a cell on one axis: its names and that of its component."""
    if axis in ("seed", "key"):
        return (str(getattr(cell, axis)),)
    full, short = cell.labels[axis], names.of_axis(cell, axis)
    chosen = getattr(cell, axis)
    return (full, short) if isinstance(chosen, str) else (full, short, chosen.name)
