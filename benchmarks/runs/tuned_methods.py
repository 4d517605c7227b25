"""Methods of a tuning study: one value on every axis, and where its parameters are sought."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from pydantic import ValidationError

from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.matrix.config import (
    BudgetConfig,
    ConfigError,
    Entry,
    MatrixConfig,
    said,
)
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.matrix.selecting import METHOD_AXES, fits
from nsbench.benchmarks.matrix.tune_file import AXES, Range, TuneConfig, knobs
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Cell, Planned, named
from nsbench.benchmarks.records.names import CellNames
from nsbench.samplers import samplers, suggest

Values = dict[str, Any]
_FALLBACK: Mapping[str, list[Any]] = {"objectives": [None], "candidates": [None]}


@dataclass(frozen=True)
class Method:
    """One value on each axis: what gets its own trials.

    Attributes:
        name: In words, and what its trials are kept under.
        axes: Entry of each of `AXES`; ``None`` for an objective or a pool that the sampler names.
        space: Ranges by ``owner.parameter``.
        skip: Why none of its cells can run; empty if they can.
        title: Its name for people: what distinguishes it from the other methods.
        cell: One of its cells, which stands for all of them where methods are selected.
    """

    name: str
    axes: Mapping[str, Any]
    space: Mapping[str, Range] = field(default_factory=dict)
    skip: str = ""
    title: str = ""
    cell: Cell | None = field(default=None, repr=False)

    def config(self, matrix: MatrixConfig, values: Values, seeds: list[int]) -> MatrixConfig:
        """Return the matrix of this method alone, with some values of ``owner.parameter``."""
        sampler, own = named(self.axes["samplers"], "sampler")
        budget: Values = {}
        common = dict(matrix.objective_parameters)
        for key, value in values.items():
            owner, _, parameter = key.rpartition(".")
            {"budget": budget, "objective": common}.get(owner, own)[parameter] = value
        chosen: Values = {a: [] if p is None else [p] for a, p in self.axes.items()}
        if (entry := self.axes["objectives"]) is not None:
            objective, given = named(entry, "objective")
            legal = _legal(objective)
            shared = {k: v for k, v in common.items() if k in legal}
            told = {k.rpartition(".")[2] for k in values if k.startswith("objective.")}
            fixed = {k: v for k, v in given.items() if k not in told}
            chosen["objectives"] = [{"name": objective, **shared, **fixed}]
        chosen |= {"samplers": [{"name": sampler, **own}], "objective_parameters": common}
        try:
            budgeted = BudgetConfig.model_validate(matrix.budget.model_dump() | budget)
        except ValidationError as error:
            raise ConfigError(f"budget.{said(error, BudgetConfig)}") from None
        return matrix.model_copy(
            update={**chosen, "budget": budgeted, "seeds": seeds, "no_training": False}
        )

    def cells(self, matrix: MatrixConfig, values: Values, seeds: tuple[int, ...]) -> list[Planned]:
        """Return the cells of one setting, one a seed.

        Raises:
            ConfigError: If the method is more than one cell a seed.
        """
        planned = expand(self.config(matrix, values, list(seeds)), refuse=False)
        if len(planned) != len(seeds):
            raise ConfigError(
                f"{self.name} stands for {len(planned) // max(1, len(seeds))} cells a seed; a "
                "tuned matrix has one value on every axis that is no list of methods, and "
                "lists of values belong in the space"
            )
        return planned


def trial_matrix(config: TuneConfig, matrix: MatrixConfig) -> MatrixConfig:
    """Return the matrix of a study's trials: scored on development data and on nothing else."""
    evaluation = matrix.evaluation.model_copy(update={"tasks": (), "dev": config.dev})
    if not matrix.evaluation.dev:  # no checkpoint is chosen: measured once, at the end
        evaluation = evaluation.model_copy(update={"dev_every": matrix.budget.steps})
    return matrix.model_copy(update={"evaluation": evaluation})


def methods_of(config: TuneConfig, matrix: MatrixConfig) -> list[Method]:
    """Return the methods of a study that train, each once, in the order of its file.

    Raises:
        ConfigError: As `Method.cells`.
        ValueError: If a name or a parameter is not legal.
    """
    every = [a for a in _combinations(config, matrix) if _trains(a["samplers"])]
    told = [x for x in AXES if x in AXES[:2] or any(a[x] != every[0][x] for a in every)]
    found: dict[str, tuple[Method, Cell]] = {}
    for axes in every:
        parts = [p for x in told if (p := axes[x]) is not None]
        name = " x ".join(p if isinstance(p, str) else canonical_json(p) for p in parts)
        if name not in found:
            method = Method(name, axes)
            (planned,) = method.cells(matrix, {}, config.fresh_seeds[:1])
            space = _space(config, axes["samplers"], planned)
            found[name] = replace(method, space=space, skip=planned.skip), planned.cell
    names = CellNames([cell for _, cell in found.values()])
    titles = [names.method(cell) for _, cell in found.values()]
    return [
        replace(method, title=title if titles.count(title) == 1 else method.name, cell=cell)
        for (method, cell), title in zip(found.values(), titles, strict=True)
    ]


def chosen_methods(methods: list[Method], only: Sequence[str]) -> list[Method]:
    """Return the methods that some pattern fits, all without a pattern.

    Patterns are those of ``nsbench run --only`` (`nsbench.benchmarks.matrix.selecting.only`), on
    axes other than seed and key; they fit the names under which trials are listed, too.

    Raises:
        ConfigError: If a pattern fits none.
    """
    cells = {m.name: m.cell for m in methods if m.cell}
    names = CellNames(list(cells.values()))
    fitting = {
        pattern: {
            m.name
            for m in methods
            if fnmatchcase(m.name, pattern)
            or (m.cell and fits(m.cell, pattern, names, of_method=True))
        }
        for pattern in only
    }
    for pattern, found in fitting.items():
        if not found:
            hint = suggest(pattern, [m.title for m in methods]).partition("Known:")[0]
            raise ConfigError(
                f"--only {pattern!r} fits no method. {hint}{len(methods)} are there, such as "
                f"{methods[0].title!r}; a pattern is a glob on the sampler or the whole name, or "
                f"AXIS=GLOB for one of {', '.join(METHOD_AXES)}"
            )
    return [m for m in methods if not only or any(m.name in f for f in fitting.values())]


def untrained(config: TuneConfig, matrix: MatrixConfig, methods: Sequence[Method]) -> list[Planned]:
    """Return the cells that take no step, of the encoders and data sets of some methods."""
    given = [a["samplers"] for a in _combinations(config, matrix) if not _trains(a["samplers"])]
    names: list[Entry] = ["no_training"] if matrix.no_training else []
    names += [entry for i, entry in enumerate(given) if entry not in given[:i] + names]
    axes: dict[str, list[Any]] = {axis: [] for axis in ("data", "encoders")}
    for method in methods:
        for axis, found in axes.items():
            if method.axes[axis] not in found:
                found.append(method.axes[axis])
    if not names or not methods:
        return []
    settings = {"samplers": names, "seeds": list(config.fresh_seeds), **axes}
    settings |= {"augmentations": ["none"], "objectives": [], "candidates": []}
    return expand(matrix.model_copy(update={**settings, "no_training": False}), refuse=False)


def _combinations(config: TuneConfig, matrix: MatrixConfig) -> Iterator[dict[str, Any]]:
    for block in config.methods:
        lists = [
            getattr(block, axis) or getattr(matrix, axis) or _FALLBACK.get(axis, [])
            for axis in AXES
        ]
        for combination in product(*lists):
            yield dict(zip(AXES, combination, strict=True))


def _trains(entry: Entry) -> bool:
    return bool(getattr(samplers.entry(named(entry, "sampler")[0]).cls, "trains", True))


def _space(config: TuneConfig, entry: Entry, planned: Planned) -> dict[str, Range]:
    """Return the ranges of a method: of its budget, its objective and its sampler.

    The shipped ones leave alone what the entry sets; the study's own replace them.
    """
    sampler, fixed = named(entry, "sampler")
    objective = planned.cell.objective.name
    legal = _legal(objective)
    found: dict[str, Range] = {}
    if config.knobs:
        shipped = knobs()
        of_objective = {**shipped.objective, **shipped.objectives.get(objective, {})}
        found |= {f"objective.{p}": r for p, r in of_objective.items() if p in legal}
        own = shipped.samplers.get(sampler, {})
        found |= {f"{sampler}.{p}": r for p, r in own.items() if p not in fixed}
    found |= {f"budget.{p}": r for p, r in config.space.get("budget", {}).items()}
    common = config.space.get("objective", {})
    found |= {f"objective.{p}": r for p, r in common.items() if p in legal}
    return found | {f"{sampler}.{p}": r for p, r in config.space.get(sampler, {}).items()}


def _legal(objective: str) -> set[str]:
    return {p.name for p in objectives.entry(objective).parameters}
