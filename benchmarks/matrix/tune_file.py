"""The file of a tuning study: TOML that names a matrix, a number of trials and a search space."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.matrix.config import (
    EACH_ONCE,
    ConfigError,
    Entry,
    FurtherConfig,
    MatrixConfig,
    Seed,
    Task,
    View,
    boards,
    is_study_file,
    load_config,
    parse_config,
    said,
    suites,
)
from nsbench.benchmarks.matrix.executors import executors
from nsbench.benchmarks.matrix.places import anchored
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import named
from nsbench.benchmarks.records.local_task import OWN
from nsbench.samplers import samplers, suggest
from nsbench.samplers._cache import cached

TUNABLE_BUDGET = ("learning_rate", "warmup", "weight_decay", "clip")
"""Steps and batch size are not among them: every method spends the same."""
SHARED = ("budget", "objective")
AXES = ("samplers", "augmentations", "objectives", "candidates", "encoders", "data")
"""Axes that methods of a study may differ in."""


class Range(BaseModel):
    """Range in which one parameter is searched: ``{low, high, log}`` or ``{values}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    values: tuple[float | int | str, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> "Range":
        interval = self.low is not None and self.high is not None
        if interval == bool(self.values):
            raise ValueError("write either low and high, or values")
        if interval and not float(self.low or 0) < float(self.high or 0):
            raise ValueError(f"low is {self.low} and high is {self.high}")
        if self.log and not float(self.low or 0) > 0:
            raise ValueError(f"log needs a low above 0, got {self.low}")
        return self


class Methods(BaseModel):
    """A block of methods: the product of its axes, each the matrix's where it is left out.

    Attributes:
        samplers: As in a matrix file, without grids; so are the others.
        augmentations: Of the views.
        objectives: In place of those that the samplers name.
        candidates: In place of the pools that the samplers name.
        encoders: What is trained.
        data: What it is trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    samplers: tuple[Entry, ...] = ()
    augmentations: tuple[View, ...] = ()
    objectives: tuple[Entry, ...] = ()
    candidates: tuple[Entry, ...] = ()
    encoders: tuple[Entry, ...] = ()
    data: tuple[Entry, ...] = ()


class Knobs(BaseModel):
    """The shipped ranges of the methods' own parameters, ``configs/boards/_knobs.toml``.

    Attributes:
        objective: Parameters of every objective that has them.
        objectives: Of single objectives, by name.
        samplers: Of single samplers, by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    objective: dict[str, Range]
    objectives: dict[str, dict[str, Range]]
    samplers: dict[str, dict[str, Range]]


@cached(1)
def knobs() -> Knobs:
    """Return the shipped ranges."""
    file = resources.files("nsbench.benchmarks.matrix.configs") / "boards" / "_knobs.toml"
    return Knobs.model_validate(tomllib.loads(file.read_text("utf-8")))


class TuneConfig(BaseModel):
    """A tuning study.

    Attributes:
        schema_version: Version of this layout, 1.
        matrix: The matrix that is tuned, a file, a suite or a table without ``seeds`` (those of a
            file are not used); its evaluation is what is read once at the end.
        methods: Blocks of methods; without one, the product of the matrix's own axes.
        families: Tasks that are averaged together, by name, the leading family first; without
            one, all tasks are one family. ``own`` may be named as a whole or by its tests.
        trials: Trials of each method, its defaults being the first.
        seed: Decides what is drawn from the space.
        dev: Development task that trials are judged by: ``own``, an mteb task, or a table of a
            local file.
        trial_seeds: Seeds of every trial; their mean dev score counts.
        fresh_seeds: Seeds of the comparison at the end, none of them a trial's.
        knobs: Whether the shipped ranges of methods' own parameters are searched, too.
        space: Parameters by whose they are: ``budget`` and ``objective`` for every method, a
            sampler's name for its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(default=1, alias="schema", ge=1, le=1)
    matrix: str | dict[str, Any]
    methods: tuple[Methods, ...] = (Methods(),)
    families: dict[str, tuple[str, ...]] = {}
    trials: int = Field(default=10, ge=2, le=100_000)
    seed: int = Field(default=0, ge=0)
    dev: Task = "own"
    trial_seeds: Annotated[tuple[Seed, ...], EACH_ONCE] = Field((1001,), min_length=1)
    fresh_seeds: Annotated[tuple[Seed, ...], EACH_ONCE] = Field((1, 2, 3, 4, 5), min_length=1)
    knobs: bool = False
    space: dict[str, dict[str, Range]] = {}


def load_tuning(source: Path) -> tuple[TuneConfig, MatrixConfig]:
    """Read a study and the matrix it tunes.

    Args:
        source: A TOML file or a shipped board; a matrix it names by a path is looked for next to
            it first.

    Raises:
        ConfigError: If it is not there, not TOML, or a key, name or value is not legal.
    """
    try:
        config = TuneConfig.model_validate(_from_here(tomllib.loads(_text(source)), source))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {source}: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{source}: {said(error, TuneConfig)}") from None
    if isinstance(config.matrix, str):
        beside = source.parent / config.matrix
        matrix = load_config(str(beside) if beside.is_file() else config.matrix)
    else:
        _check_inline(config.matrix, source)
        matrix = parse_config(config.matrix, f"{source}: matrix")
    entries = [e for block in config.methods for e in (block.samplers or matrix.samplers)]
    check_space(config, list(dict.fromkeys(map(_name, entries))))
    _check_families(config, matrix)
    return config, matrix


def _from_here(raw: dict[str, Any], source: Path) -> dict[str, Any]:
    """Let relative paths of a study's file start at its folder, as those of a matrix file do."""
    if not source.is_file():
        return raw
    out, folder = dict(raw), source.parent
    if isinstance(out.get("matrix"), Mapping):
        out["matrix"] = anchored(out["matrix"], folder)
    if isinstance(out.get("methods"), list):
        blocks = out["methods"]
        out["methods"] = [anchored(b, folder) if isinstance(b, Mapping) else b for b in blocks]
    if "dev" in out:
        out |= anchored({"evaluation": {"dev": out["dev"]}}, folder)["evaluation"]
    return out


def _check_inline(matrix: Mapping[str, Any], source: Path) -> None:
    """Refuse settings of a study's own matrix that a study cannot honour."""
    if "seeds" in matrix:
        raise ConfigError(
            f"{source}: matrix.seeds: a study has trial_seeds and fresh_seeds of its file in place "
            "of them"
        )
    run = matrix.get("run")
    for name in run if isinstance(run, Mapping) else ():
        if name in executors and name != "local":
            raise ConfigError(
                f"{source}: matrix.run.{name}: the cells of a study run in processes of this "
                "machine; matrix.run.local has their settings"
            )


def study_matrix(config: TuneConfig, matrix: MatrixConfig) -> MatrixConfig:
    """Return all that a study names as one matrix, such as to fetch it."""
    blocks = [FurtherConfig.model_validate(block.model_dump()) for block in config.methods]
    evaluation = matrix.evaluation.model_copy(update={"dev": config.dev})
    return matrix.model_copy(update={"also": [*matrix.also, *blocks], "evaluation": evaluation})


def named_matrix(source: str) -> MatrixConfig:
    """Return the matrix of a file or a suite, or all that a study or a board names as one matrix.

    Raises:
        ConfigError: As `load_config` and `load_tuning`.
    """
    path = Path(source)
    if path.is_file():
        try:
            is_study = is_study_file(tomllib.loads(path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
            is_study = False  # `load_config` says what is wrong
    else:
        is_study = source in boards() and source not in suites()
    return study_matrix(*load_tuning(path)) if is_study else load_config(source)


def _text(source: Path) -> str:
    if source.is_file():
        return source.read_text("utf-8")
    if str(source) in boards():
        folder = resources.files("nsbench.benchmarks.matrix.configs") / "boards"
        return (folder / f"{source}.toml").read_text("utf-8")
    raise ConfigError(f"no tuning file or board {str(source)!r}. {suggest(str(source), boards())}")


def _check_families(config: TuneConfig, matrix: MatrixConfig) -> None:
    """Refuse families that leave out a task of the matrix, or hold one twice or one it lacks."""
    tasks = [t if isinstance(t, str) else str(t.get("name")) for t in matrix.evaluation.tasks]
    given = [task for family in config.families.values() for task in family]
    if given and OWN in tasks and OWN not in given:
        tasks = [t for t in tasks if t != OWN] + own_tests(matrix)
    if config.families and sorted(given) != sorted(tasks):
        odd = sorted({*given} ^ {*tasks}) or sorted({t for t in given if given.count(t) > 1})
        raise ConfigError(
            f"families: each task of the matrix belongs to one family; look at {', '.join(odd)}"
        )


def own_tests(matrix: MatrixConfig) -> list[str]:
    """Return the names of the tests that come with a matrix's data: the tasks of ``own``.

    Raises:
        ConfigError: If a data set cannot be made from its entry, or its tests cannot be read.
    """
    try:
        entries = [named(entry, "data") for entry in matrix.data]
        found = [t.name for n, p in entries for t in datasets.make(n, **p).tests()]
    except (OSError, ValueError) as error:
        raise ConfigError(f"families: the tests of the data: {error}") from None
    return list(dict.fromkeys(found))


def check_space(config: TuneConfig, names: list[str]) -> None:
    """Refuse a space that names what no method has, or seeds that serve twice.

    Raises:
        ConfigError: Naming the value and the legal ones.
    """
    both = sorted(set(config.trial_seeds) & set(config.fresh_seeds))
    if both:
        raise ConfigError(
            f"seed {both[0]} is a trial's and a fresh one: results on a seed that was tuned on are "
            "no evidence"
        )
    for owner, ranges in config.space.items():
        if owner == "budget":
            legal = set(TUNABLE_BUDGET)
        elif owner == "objective":
            legal = {p.name for entry in objectives for p in entry.parameters}
        elif owner in names:
            legal = {p.name for p in samplers.entry(owner).parameters}
        else:
            raise ConfigError(
                f"space.{owner} belongs to no sampler of the matrix. "
                f"{suggest(owner, [*SHARED, *names])}"
            )
        for parameter in ranges:
            if parameter not in legal:
                raise ConfigError(
                    f"space.{owner}.{parameter} cannot be tuned. {suggest(parameter, legal)}"
                )


def _name(entry: str | Mapping[str, Any]) -> str:
    return entry if isinstance(entry, str) else str(entry.get("name"))
