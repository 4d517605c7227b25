"""Reasons why a combination of components makes no sense and its cell is skipped."""

from typing import Any

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.data._load import has_dev, has_rankings, has_tests, load_data
from nsbench.benchmarks.data._rows import unpaired
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Cell, Choice, make
from nsbench.benchmarks.records.local_task import OWN, LocalTask
from nsbench.benchmarks.regimes import regimes
from nsbench.benchmarks.regimes._labels import entailment_data
from nsbench.samplers import named_within, samplers

MEANS = ("mean", "last2_mean")
"""Poolings that leave out the tokens that they are told to."""


def why_skip(cell: Cell) -> str:
    """Return the reason why a cell makes no sense, or an empty string."""
    if reason := _why_no_scores(cell):
        return reason
    encoder = make(encoders, cell.encoder)
    for choice in (*cell.view1, *cell.view2):
        if reason := _why_not_augment(choice, encoder, cell.encoder.name):
            return reason
    phases = make(regimes, cell.regime).phases(cell.budget)
    if cell.candidates.name != "in_batch" and any(p.kind == "joint" for p in phases):
        return (
            f"{cell.regime.name} contrasts the premises and the hypotheses of a batch, each among "
            f"themselves; the pool {cell.candidates.name} is not laid out for that"
        )
    if reason := _why_skip_dimension(cell, encoder):
        return reason
    if reason := _why_skip_guides(cell):
        return reason
    if reason := _why_skip_directions(cell, [p.kind for p in phases]):
        return reason
    own = _own_pooling(encoder)
    pooling = cell.evaluation.pooling or own
    if cell.evaluation.frequent_tokens and pooling not in MEANS:
        return f"frequent_tokens are left out of a mean over tokens, but the pooling is {pooling}"
    if "+" in own and pooling != own:
        return f"it is scored with {pooling}, of another width than its own pooling, {own}"
    sampler = make(samplers, cell.sampler)
    refuses = getattr(sampler, "why_not", None)
    if refuses is not None and (reason := str(refuses(cell.budget.batch_size))):
        return reason
    if getattr(sampler, "requires_layers", False) and not hasattr(encoder, "layers"):
        return f"{cell.sampler.name} reads a lower layer, and {cell.encoder.name} has no layers"
    if getattr(sampler, "ranks", "") and (odd := _unranked(cell)):
        return f"{cell.sampler.name} ranks documents, and {odd} is no retrieval task"
    needed = getattr(sampler, "requires_pool", "")
    if needed and cell.candidates.name != needed:
        return f"{cell.sampler.name} chooses from the pool {needed}, not {cell.candidates.name}"
    return ""


def _why_no_scores(cell: Cell) -> str:
    """Reason why a data set cannot give the scores that a cell asks of it, or an empty string."""
    dev, tasks, name = cell.evaluation.dev, cell.evaluation.tasks, cell.data.name
    if dev == OWN and cell.budget.steps and not has_dev(cell.data):
        return f"dev is {OWN!r}, and {name} has no development data: name a task"
    if tasks == (OWN,) and not has_tests(cell.data):
        return (
            f"the only task is {OWN!r}, and {name} has no tests: name a task, or write "
            "tasks = [] to train without a score"
        )
    return ""


def _unranked(cell: Cell) -> str:
    """Return a cell's first task if none is of retrieval, or an empty string.

    Files and tests of the data set are asked; of what mteb knows by name nothing is said.
    """
    tasks = cell.evaluation.tasks
    odd = [t.name for t in tasks if isinstance(t, LocalTask) and t.kind != "retrieval"]
    if OWN in tasks and not has_rankings(cell.data):
        odd.append(f"{cell.data.name}'s own test")
    return odd[0] if odd and len(odd) == len(tasks) else ""


def _why_not_augment(choice: Choice, encoder: Any, name: str) -> str:
    """Reason why an augmentation would do nothing on an encoder, or an empty string."""
    needs = augmentations.entry(choice.name).attribute
    bag = needs("needs_order", False) and not getattr(encoder, "has_positions", True)
    if bag or (needs("needs_positions", False) and not _sees_positions(encoder)):
        return (
            f"{choice.name} only changes the order of tokens, and {name} has no position "
            "embeddings that follow it: it would do nothing"
        )
    drops = getattr(encoder, "drops", None)
    if needs("needs_dropout", False) and drops is not None and not drops():
        return f"{choice.name} switches dropout on, and {name} has none: it would do nothing"
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


def _why_skip_dimension(cell: Cell, encoder: Any) -> str:
    """Return the reason why embeddings are too short for an objective, where it can be known."""
    check = getattr(make(objectives, cell.objective), "check_dimension", None)
    if check is not None and (dimension := _dimension(encoder)):
        try:
            check(dimension)
        except ValueError as error:
            return str(error)
    return ""


def _dimension(encoder: Any) -> int:
    """Return the length of an encoder's embeddings, 0 if it does not tell."""
    asked = getattr(encoder, "own_dimension", None)
    if asked is not None:
        return int(asked())
    return 0 if getattr(encoder, "source", "") else int(getattr(encoder, "dimension", 0))


def _why_skip_guides(cell: Cell) -> str:
    """Return the reason why a sampler and an objective cannot share a guide, or an empty string."""
    reads = "guide_similarity" in getattr(make(samplers, cell.sampler), "needs", ())
    taught = "guide_similarity" in getattr(make(objectives, cell.objective), "needs", ())
    one, two = (named_within(c.params, "guide") for c in (cell.sampler, cell.objective))
    if not (reads and taught) or one == two:
        return ""
    return (
        f"{cell.sampler.name} has the guide {one!r} and {cell.objective.name} has {two!r}; "
        "a cell has one guide"
    )


def _why_skip_directions(cell: Cell, phases: list[str]) -> str:
    """Reason why a set of directions does not go with a sampler or regime, or an empty string."""
    directions = cell.candidates.params.get("directions", "auto")
    if cell.candidates.name != "in_batch" or "_" not in str(directions):
        return ""
    if "joint" in phases:
        return (
            f"{cell.regime.name} contrasts premises and hypotheses each among themselves; the "
            f"directions {directions} are not laid out for that"
        )
    needs = getattr(make(samplers, cell.sampler), "needs", ())
    if {"anchors", "candidates"} & set(needs):
        return (
            f"{cell.sampler.name} reads anchors and candidates; with the directions {directions} "
            "some candidates are compared with the positive"
        )
    return ""


def _sees_positions(encoder: Any) -> bool:
    """Return False for an encoder to which the order of positions makes no difference."""
    if not getattr(encoder, "has_positions", True):
        return False
    asked = getattr(encoder, "sees_positions", None)
    return asked is None or bool(asked())


def _own_pooling(encoder: Any) -> str:
    """Return the pooling of an encoder as it is trained."""
    asked = getattr(encoder, "own_pooling", None)
    own = str(asked() if asked else getattr(encoder, "pooling", "") or "mean")
    return "mean" if own == "auto" else own
