"""The file of a tuning study: TOML that names a matrix, a number of trials and a search space."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nsbench.benchmarks.matrix.config import ConfigError, MatrixConfig, load_config
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import samplers, suggest

TUNABLE_BUDGET = ("learning_rate", "warmup", "weight_decay", "clip")
"""Steps and batch size are not among them: every method spends the same."""
SHARED = ("budget", "objective")


class Range(BaseModel):
    """Where one parameter is looked for: ``{low, high, log}`` or ``{values}``."""

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


class TuneConfig(BaseModel):
    """A tuning study.

    Attributes:
        schema_version: Version of this layout, 1.
        matrix: The matrix file or suite that is tuned; its samplers and augmentations are the
            methods, its evaluation is what is read once at the end.
        trials: Trials of each method, its defaults being the first.
        seed: Decides what is drawn from the space.
        dev: Development task that trials are judged by: ``own`` or an mteb task.
        trial_seeds: Seeds of every trial; their mean dev score counts.
        fresh_seeds: Seeds of the comparison at the end, none of them a trial's.
        space: Parameters by whose they are: ``budget`` and ``objective`` for every method, a
            sampler's name for its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(default=1, alias="schema", ge=1, le=1)
    matrix: str
    trials: int = Field(default=10, ge=2, le=100_000)
    seed: int = Field(default=0, ge=0)
    dev: str = "own"
    trial_seeds: tuple[Annotated[int, Field(ge=0, le=2**31)], ...] = Field((1001,), min_length=1)
    fresh_seeds: tuple[Annotated[int, Field(ge=0, le=2**31)], ...] = Field(
        (1, 2, 3, 4, 5), min_length=1
    )
    space: dict[str, dict[str, Range]]


def load_tuning(source: Path) -> tuple[TuneConfig, MatrixConfig]:
    """Read a study and the matrix it tunes.

    Args:
        source: A TOML file; a matrix it names by a path is looked for beside it first.

    Raises:
        ConfigError: If it is not there, not TOML, or a key, name or value is not legal.
    """
    if not source.is_file():
        raise ConfigError(f"no tuning file {str(source)!r}")
    try:
        config = TuneConfig.model_validate(tomllib.loads(source.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {source}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{source}: {where}: {first['msg']}") from None
    beside = source.parent / config.matrix
    matrix = load_config(str(beside) if beside.is_file() else config.matrix)
    check_space(config, [_name(entry) for entry in matrix.samplers])
    return config, matrix


def check_space(config: TuneConfig, names: list[str]) -> None:
    """Refuse a space that names what no method has, or seeds that serve twice.

    Args:
        config: The study.
        names: Samplers of the matrix.

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
