"""One training run: a value on every axis. Its key is made from content, its text is for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nsbench.benchmarks.keys import content_key, describe_choice
from nsbench.benchmarks.records.local_task import LocalTask
from nsbench.samplers import Registry

RECIPE = 2
"""Bumped by hand whenever the meaning of a cell changes: old records are not taken for new."""


@dataclass(frozen=True)
class Choice:
    """A component by name, with all of its parameters, defaults included.

    Attributes:
        name: Its registered name.
        params: All parameters.
        defaults: Those that are not shown where they have these values.
        label: A short name to show, given in the matrix; no part of a cell's key.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict, compare=False)
    label: str = field(default="", compare=False)

    @cached_property
    def _text(self) -> str:
        return self.label or describe_choice(self.plain(), self.defaults)

    def __str__(self) -> str:
        return self._text

    def plain(self) -> dict[str, Any]:
        """The choice as plain data."""
        return {"name": self.name, "params": dict(self.params)}


@dataclass(frozen=True)
class Budget:
    """Budget of a training, the same for every method of a matrix.

    Attributes:
        steps: Optimizer steps.
        batch_size: Training rows per step, B.
        learning_rate: Peak learning rate.
        warmup: Share of the steps with linear warm-up.
        schedule: ``linear``, ``cosine`` or ``constant`` after warm-up.
        weight_decay: Decoupled weight decay of dense matrices.
        clip: Largest gradient norm; 0 for no clipping.
        max_length: Longest training text in tokens.
        precision: ``auto`` (bf16 where the device has it), ``fp32`` or ``bf16``.
        chunk: Texts per pass through the encoder, the batch's gradient being kept exact by a
            second pass (GradCache); 0 for all at once.
    """

    steps: int = 200
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: float = 0.1
    schedule: str = "linear"
    weight_decay: float = 0.0
    clip: float = 1.0
    max_length: int = 64
    precision: str = "auto"
    chunk: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Tasks that a trained cell is scored on.

    Attributes:
        tasks: mteb tasks, benchmarks or groups (``STS7``) by name; ``own`` for the tests that the
            training data includes; and tasks of local files.
        engine: ``auto``, ``own`` or ``mteb``: which code computes pair-task scores.
        dev: Task whose dev split, or local file, chooses the checkpoint; empty to keep the last
            one.
        dev_every: Steps between looks at the dev task.
        pooling: Of the scored encoder, where it was trained with another (ConSERT's tables:
            ``last2_mean``); empty to keep it. An encoder without layers keeps its own.
        frequent_tokens: Numbers of frequent tokens to leave out of the mean in further scores of
            the first task; see `nsbench.benchmarks.evaluation.frequent_tokens`.
        dimensions: Lengths to which embeddings are cut for further scores; see
            `nsbench.benchmarks.evaluation.first_dimensions`.
        absent: Tasks of a benchmark that were not here and are left out.
        precision: ``fp32``, or ``bf16``: twice as fast, scores within 1e-4 or so.
    """

    tasks: tuple[str | LocalTask, ...] = ("own",)
    engine: str = "auto"
    dev: str | LocalTask = ""
    dev_every: int = 50
    pooling: str = ""
    precision: str = "fp32"
    frequent_tokens: tuple[int, ...] = ()
    absent: tuple[str, ...] = ()
    dimensions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One value on each axis.

    Attributes:
        sampler: Which candidates act as negatives.
        view1: Augmentations of view 1, applied in order.
        view2: Augmentations of view 2.
        objective: The estimator over the selection.
        candidates: The pool of columns.
        encoder: Model, layers and pooling.
        data: What it trains on.
        budget: What training may spend.
        evaluation: What it is scored on.
        difficulty_every: Steps between measurements of negative difficulty.
        seed: One number, split by purpose.
        inputs: Fingerprints of data and weights, so that other bytes make another cell.
        regime: With which labels it trains, in which phases.
        limit: Training rows it may see, drawn with the seed; 0 for all.
    """

    sampler: Choice
    view1: tuple[Choice, ...]
    view2: tuple[Choice, ...]
    objective: Choice
    candidates: Choice
    encoder: Choice
    data: Choice
    budget: Budget
    evaluation: Evaluation
    difficulty_every: int
    seed: int
    inputs: Mapping[str, str] = field(default_factory=dict)
    regime: Choice = Choice("unsupervised")
    limit: int = 0

    def plain(self) -> dict[str, Any]:
        """The cell as plain data, without labels: what its key is made from.

        A setting younger than the recipe is left out where it has its default, so that
        cells finished before it came keep their keys.
        """
        evaluation = vars(self.evaluation) | {
            "tasks": [_task(t) for t in self.evaluation.tasks],
            "dev": _task(self.evaluation.dev),
        }
        for younger in ("frequent_tokens", "absent", "dimensions"):
            if values := list(evaluation.pop(younger)):
                evaluation[younger] = values
        return {
            "recipe": RECIPE,
            "sampler": self.sampler.plain(),
            "augmentation": {
                "view1": [c.plain() for c in self.view1],
                "view2": [c.plain() for c in self.view2],
            },
            "objective": self.objective.plain(),
            "candidates": self.candidates.plain(),
            "encoder": self.encoder.plain(),
            "data": self.data.plain(),
            "budget": dict(vars(self.budget)),
            "evaluation": evaluation,
            "difficulty": {"every": self.difficulty_every},
            "seed": self.seed,
            "inputs": dict(self.inputs),
            "regime": self.regime.plain(),
            "limit": self.limit,
        }

    @property
    def augmentation(self) -> str:
        """Both views in words: one name if they are equal, else ``view1 | view2``."""
        first, second = (" + ".join(map(str, v)) for v in (self.view1, self.view2))
        return first if first == second else f"{first} | {second}"

    @property
    def labels(self) -> dict[str, str]:
        """Display names of every axis, parameters shown where they differ from the default."""
        return {
            "sampler": str(self.sampler),
            "augmentation": self.augmentation,
            "objective": str(self.objective),
            "candidates": str(self.candidates),
            "encoder": str(self.encoder),
            "data": str(self.data) + (f", {self.limit} rows" if self.limit else ""),
            "regime": describe_choice(_named_source(self.regime.plain()), self.regime.defaults),
        }

    @cached_property
    def key(self) -> str:
        """First 12 hex digits of the SHA-256 over `plain`."""
        return content_key(self.plain())

    def __str__(self) -> str:
        return f"{self.sampler} x {self.augmentation}, seed {self.seed}"


@dataclass(frozen=True)
class Planned:
    """A cell of a matrix, and the reason why it is skipped, if it is."""

    cell: Cell
    skip: str = ""


def _task(task: str | LocalTask) -> Any:
    return task if isinstance(task, str) else task.plain()


def _named_source(regime: dict[str, Any]) -> dict[str, Any]:
    """A regime whose data set of labels, if it is a table, reads like any other choice."""
    nli = regime["params"].get("nli")
    if not isinstance(nli, Mapping) or not nli:
        return regime
    rest = {k: v for k, v in nli.items() if k != "name"}
    source = describe_choice({"name": nli["name"], "params": rest})
    return regime | {"params": regime["params"] | {"nli": source}}


def make(registry: Registry[Any], choice: Choice) -> Any:
    """Construct the component a choice stands for."""
    return registry.make(choice.name, **choice.params)


def resolve(registry: Registry[Any], name: str, params: Mapping[str, Any]) -> Choice:
    """A choice with all parameters filled in; constructing it once has checked them.

    A parameter that the class lists in ``younger`` came after cells without it were finished; it
    is left out where it has its default, so that those cells keep their keys.
    """
    full = registry.parameters(name, params)
    registry.make(name, **params)
    younger = registry.entry(name).attribute("younger", frozenset())
    defaults = {p.name: p.default for p in registry.entry(name).parameters if not p.required}
    full = {k: v for k, v in full.items() if k not in younger or v != defaults[k]}
    return Choice(name, full, defaults)


def named(entry: str | Mapping[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    """Split an entry of a matrix file into a name and its parameters.

    Raises:
        ValueError: If a table has no name.
    """
    if isinstance(entry, str):
        return entry, {}
    params = dict(entry)
    name = params.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"{kind} {entry!r} has no name: write {{ name = '...', ... }}")
    return name, params
