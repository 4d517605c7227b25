"""Which cells of a matrix: patterns on what a cell is, and reasons why one makes no sense."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.data._layouts import unpaired
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.records.cell import Cell, Planned, make
from nsbench.benchmarks.regimes import regimes
from nsbench.benchmarks.regimes._labels import entailment_data
from nsbench.samplers import samplers

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
                f"--only {pattern} matches no cell; cells read like {planned[0].cell}. A pattern "
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


def why_skip(cell: Cell) -> str:
    """Return the reason why a cell makes no sense, or an empty string."""
    if not getattr(encoders.entry(cell.encoder.name).cls, "has_positions", True):
        for choice in (*cell.view1, *cell.view2):
            if augmentations.entry(choice.name).attribute("needs_positions", False):
                return (
                    f"{choice.name} only changes the order of tokens, and {cell.encoder.name} "
                    "has no position embeddings: it would do nothing"
                )
    phases = make(regimes, cell.regime).phases(cell.budget)
    if cell.candidates.name != "in_batch" and any(p.kind == "joint" for p in phases):
        return (
            f"{cell.regime.name} contrasts the premises and the hypotheses of a batch, each among "
            f"themselves; the pool {cell.candidates.name} is not laid out for that"
        )
    pooling = cell.evaluation.pooling or cell.encoder.params.get("pooling")
    if cell.evaluation.frequent_tokens and pooling == "cls":
        return "frequent_tokens are left out of a mean over tokens, but the pooling is cls"
    sampler = make(samplers, cell.sampler)
    needed = getattr(sampler, "requires_pool", "")
    if needed and cell.candidates.name != needed:
        return f"{cell.sampler.name} chooses from the pool {needed}, not {cell.candidates.name}"
    return ""


def too_large(cell: Cell) -> str:
    """Return the reason why the data cannot fill one batch of a phase, or an empty string."""
    data = load_data(cell.data)
    for phase in make(regimes, cell.regime).phases(cell.budget):
        size = phase.budget.batch_size
        source = entailment_data(cell.regime, cell.data) if phase.nli else None
        rows = load_data(source) if source is not None else data
        if source is None and data.nli is not None:
            rows = unpaired(data)
        filled = 0 < cell.limit < rows.rows and not phase.nli  # few rows are repeated
        if phase.budget.steps and rows.rows < size and not filled:
            return f"batch_size is {size}, but {rows.name} has only {rows.rows} rows"
    return ""
