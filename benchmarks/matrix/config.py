"""The matrix file: TOML, checked key by key before anything trains."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_serializer,
)

from nsbench.benchmarks.hub import is_local
from nsbench.benchmarks.matrix.executors import ExecutorSettings, executors, settings_of
from nsbench.benchmarks.matrix.places import anchored
from nsbench.benchmarks.records.local_task import json_schema
from nsbench.samplers import UnknownNameError, named_within, suggest
from nsbench.samplers._cache import cached

Entry = str | dict[str, Any]
View = Entry | list[Entry]


class ConfigError(ValueError):
    """A matrix file that cannot be used; the message names the key and its value."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _grid(number: Any) -> Any:
    """A number or a list of numbers; a list multiplies the matrix."""
    return number | list[number]


Steps = Annotated[int, Field(ge=1, le=100_000_000)]
Batch = Annotated[int, Field(ge=2, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class BudgetConfig(_Strict):
    """Budget of a training; a list in any field multiplies the matrix."""

    steps: _grid(Steps) = 200  # type: ignore[valid-type]
    batch_size: _grid(Batch) = 64  # type: ignore[valid-type]
    learning_rate: _grid(Rate) = 1e-3  # type: ignore[valid-type]
    warmup: _grid(Share) = 0.1  # type: ignore[valid-type]
    schedule: str = Field(default="linear", pattern="^(linear|cosine|constant)$")
    weight_decay: _grid(Positive) = 0.0  # type: ignore[valid-type]
    clip: _grid(Positive) = 1.0  # type: ignore[valid-type]
    max_length: int = Field(default=64, ge=2, le=100_000)
    precision: str = Field(default="auto", pattern="^(auto|fp32|bf16)$")
    chunk: int = Field(default=0, ge=0, le=1_000_000)


Task = Annotated[Entry, WithJsonSchema(json_schema())]
Seed = Annotated[int, Field(ge=0, le=2**31)]
_Seeds = TypeVar("_Seeds", bound=Sequence[int])


def _each_once(seeds: _Seeds) -> _Seeds:
    if twice := [seed for i, seed in enumerate(seeds) if seed in seeds[:i]]:
        raise ValueError(f"{twice[0]} is there twice, which is one seed and not two")
    return seeds


EACH_ONCE = AfterValidator(_each_once)
"""Seeds, none of them twice."""


class EvaluationConfig(_Strict):
    """Tasks that every cell is scored on, and when.

    Attributes:
        tasks: ``own``, mteb's tasks and benchmarks, ``STS7``, and tables of local files.
        missing: What to do about tasks whose data are not here: ``error``, or ``skip`` them; cells
            then say which, and are others where more is here.
        engine: Which code computes pair-task scores.
        dev: What chooses the checkpoint: a task, or a table of a local file.
        dev_every: Steps between looks at it.
        pooling: Of the scored encoder, where it was trained with another.
        precision: ``fp32`` or ``bf16``.
        frequent_tokens: Numbers of frequent tokens to leave out in further scores.
        dimensions: Lengths to which embeddings are cut for further scores.
    """

    tasks: tuple[Task, ...] = ("own",)
    missing: str = Field(default="error", pattern="^(error|skip)$")
    engine: str = Field(default="auto", pattern="^(auto|own|mteb)$")
    dev: Task = ""
    dev_every: int = Field(default=50, ge=1)
    pooling: str = Field(default="", pattern="^(|mean|cls|last2_mean)$")
    precision: str = Field(default="fp32", pattern="^(fp32|bf16)$")
    frequent_tokens: tuple[Annotated[int, Field(ge=0, le=100_000)], ...] = ()
    dimensions: tuple[Annotated[int, Field(ge=1, le=100_000)], ...] = ()


class DifficultyConfig(_Strict):
    """Settings of the measurement of negative difficulty."""

    every: int = Field(default=10, ge=1)


class RunConfig(_Strict):
    """Settings of a run; none of them is part of a cell's key.

    A matrix file may also hold a table for each executor that has settings, such as
    ``[run.slurm]``; see `matrix_model`.

    Attributes:
        threads: Threads of torch and BLAS in each cell.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        checkpoint_minutes: Minutes between two checkpoints of a cell's training, from which it goes
            on should it be killed; 0 for none.
        time_limit: Seconds that a cell may take before it is stopped and fails; 0 for no limit.
        keep_weights: Whether each cell keeps its trained weights, as safetensors, for
            ``nsbench export``.
        keep_texts: Whether each cell keeps the texts of the shared batches, for
            ``nsbench negatives`` and the report; ``false``, for private data, keeps their numbers.
    """

    threads: int = Field(default=1, ge=1, le=1024)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    checkpoint_minutes: float = Field(default=10.0, ge=0, le=1e6, allow_inf_nan=False)
    time_limit: float = Field(default=0.0, ge=0, le=1e8, allow_inf_nan=False)
    keep_weights: bool = False
    keep_texts: bool = True

    def table(self, executor: str) -> ExecutorSettings:
        """Return the settings of an executor, the defaults where the file has none."""
        found: ExecutorSettings | None = getattr(self, executor, None)
        return settings_of(executor)() if found is None else found


class FurtherConfig(_Strict):
    """A further product of the same matrix; what is left out is as in the matrix.

    Attributes:
        samplers: As in the matrix.
        augmentations: As in the matrix.
        objectives: As in the matrix.
        candidates: As in the matrix.
        encoders: As in the matrix.
        data: As in the matrix.
    """

    samplers: list[Entry] = []
    augmentations: list[View] = []
    objectives: list[Entry] = []
    candidates: list[Entry] = []
    encoders: list[Entry] = []
    data: list[Entry] = []


class MatrixConfig(_Strict):
    """A benchmark matrix: the product of its axes.

    Attributes:
        schema_version: Version of this layout, 1.
        name: Name of the matrix.
        description: What question it answers.
        samplers: Names, or tables with parameters; a list as a parameter's value is a grid.
        augmentations: A name for both views, ``[view1, view2]``, or ``{view1, view2}``.
        objectives: Overrides the objective each sampler is paired with.
        objective_parameters: Given to every objective that has a parameter of that name.
        candidates: Overrides the candidate pool each sampler is paired with.
        regimes: With which labels, in which phases: names or tables.
        limits: Few-shot: how many training rows are seen, 0 for all; a list multiplies the matrix.
        encoders: Registered encoders, hub names or folders.
        data: Registered data sets.
        seeds: Seeds; every cell is run once with each.
        no_training: Whether to add the untrained encoder as a row.
        budget: What training may spend.
        evaluation: What every cell is scored on.
        difficulty: How often difficulty is measured.
        run: How cells are run.
        also: Further products, tables with other values of ``samplers``, ``augmentations``,
            ``objectives``, ``candidates``, ``encoders`` or ``data``; a cell that two of them have
            is run once.
    """

    schema_version: int = Field(default=1, alias="schema", ge=1, le=1)
    name: str = Field(default="matrix", min_length=1, max_length=100)
    description: str = ""
    samplers: list[Entry] = Field(min_length=1)
    augmentations: list[View] = Field(default=["none"], min_length=1)
    objectives: list[Entry] = []
    objective_parameters: dict[str, float | int | str] = {}
    candidates: list[Entry] = []
    regimes: list[Entry] = Field(default=["unsupervised"], min_length=1)
    limits: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    encoders: list[Entry] = Field(default=["static"], min_length=1)
    data: list[Entry] = Field(default=["planted"], min_length=1)
    seeds: Annotated[list[Seed], EACH_ONCE] = Field(default=[1, 2, 3], min_length=1)
    no_training: bool = True
    budget: BudgetConfig = BudgetConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    difficulty: DifficultyConfig = DifficultyConfig()
    run: RunConfig = RunConfig()
    also: list[FurtherConfig] = []

    @model_serializer(mode="wrap")
    def _without_nothing(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The matrix as plain data; files written before ``also`` came lack it as well."""
        return {k: v for k, v in plain(self).items() if k != "also" or v}

    @property
    def products(self) -> list["MatrixConfig"]:
        """The matrix without its further products, and each of these as a matrix."""
        given = [{k: v for k, v in block if v} for block in self.also]
        return [self.model_copy(update={"also": [], **axes}) for axes in ({}, *given)]


def matrix_model() -> type[MatrixConfig]:
    """Return the model of matrix files, with a table in ``run`` for each executor."""
    return _matrix_model(tuple(executors.names()))


@cached(4)
def _matrix_model(names: tuple[str, ...]) -> type[MatrixConfig]:
    models = {name: settings_of(name) for name in names}
    tables: dict[str, Any] = {n: (m, m()) for n, m in models.items() if m.model_fields}
    run = create_model("RunConfig", __base__=RunConfig, __doc__=RunConfig.__doc__, **tables)
    fields: dict[str, Any] = {"run": (run, run())}
    doc = MatrixConfig.__doc__
    return create_model("MatrixConfig", __base__=MatrixConfig, __doc__=doc, **fields)


def suites() -> dict[str, str]:
    """Names of the shipped matrix files, with their descriptions."""
    out = {}
    for item in resources.files("nsbench.benchmarks.matrix.configs").iterdir():
        if item.name.endswith(".toml"):
            raw = tomllib.loads(item.read_text("utf-8"))
            out[item.name.removesuffix(".toml")] = str(raw.get("description", "")).strip()
    return dict(sorted(out.items()))


def boards() -> list[str]:
    """Return the names of the shipped boards: studies with a place in the summary."""
    folder = resources.files("nsbench.benchmarks.matrix.configs") / "boards"
    names = (item.name for item in folder.iterdir())
    return sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml") and n[0] != "_")


def is_study_file(raw: Mapping[str, Any]) -> bool:
    """Return True if what was read from a file is a tuning study and no matrix."""
    return "matrix" in raw and "samplers" not in raw


def load_config(source: str) -> MatrixConfig:
    """Read a matrix file, or a shipped suite by name; paths in a file are relative to it.

    Raises:
        ConfigError: If it is not there, not TOML, or a key or value is not legal.
    """
    path = Path(source)
    results_of_suite = path.is_dir() and source in suites()  # such as `run bench --out bench`
    if path.suffix == ".toml" or (path.exists() and not results_of_suite):
        if not path.is_file():
            raise ConfigError(f"no matrix file {source!r}")
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {source}: {error}") from None
    else:
        if source not in suites():
            if source in boards():
                raise ConfigError(f"{source} is a board, not a suite: run it with nsbench tune")
            raise UnknownNameError(
                f"no suite is called {source!r}, and there is no such file. "
                f"{suggest(source, suites())}"
            )
        text = (resources.files("nsbench.benchmarks.matrix.configs") / f"{source}.toml").read_text(
            "utf-8"
        )
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid TOML: {error}") from None
    if is_study_file(raw):
        raise ConfigError(f"{source} is the file of a tuning study: run it with nsbench tune")
    return parse_config(anchored(raw, path.parent) if path.is_file() else raw, source)


def parse_config(raw: Mapping[str, Any], source: str = "the configuration") -> MatrixConfig:
    """Check a matrix given as plain data.

    Raises:
        ConfigError: Naming the key, its value, and for an unknown key the nearest legal one.
    """
    try:
        return matrix_model().model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: {said(error, matrix_model())}") from None


def said(error: ValidationError, model: type[BaseModel]) -> str:
    """Say what is wrong first: the key, its value, and for an unknown key the nearest legal one.

    Args:
        error: Raised by the model.
        model: What was to be made.
    """
    first = error.errors()[0]
    *outer, last = first["loc"]
    where = ".".join(str(p) for p in first["loc"] if not set("-[") & set(str(p)))  # no types
    if first["type"] == "extra_forbidden":
        kind: Any = model
        for part in outer:
            kind = _inner(kind, part)
        fields = getattr(kind, "model_fields", {})
        legal = [f.alias or n for n, f in fields.items()]
        return f"unknown key {where!r}. {suggest(str(last), legal)}"
    value = repr(first.get("input"))
    value = value if len(value) <= 80 else value[:77] + "..."
    return f"{where} is {value}: {first['msg'].removeprefix('Value error, ')}"


def _inner(kind: Any, part: str | int) -> Any:
    """Return the type of a field of a model, of the values of a mapping or of a list's items."""
    if (fields := getattr(kind, "model_fields", None)) is not None:
        return fields[part].annotation if part in fields else kind
    return get_args(kind)[-1 if get_origin(kind) is dict else 0] if get_args(kind) else kind


def grid(params: Mapping[str, Any], listed: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """Every combination of parameters whose value is a list; the others stay as they are.

    Args:
        params: Parameters of one entry.
        listed: Parameters whose value is itself a list; for them a list of lists is a grid.

    Raises:
        ConfigError: If a grid is empty.
    """
    options = []
    for key, value in params.items():
        many = isinstance(value, list)
        if many and key in listed:
            many = bool(value) and all(isinstance(item, list) for item in value)
        if many and not value:
            raise ConfigError(f"the grid of {key!r} is an empty list")
        options.append(value if many else [value])
    return [dict(zip(params, combination, strict=True)) for combination in product(*options)]


_LOCAL_DATA = ("planted", "file")


def names_hub(config: MatrixConfig) -> bool:
    """Return whether a matrix names anything that may have to come from the hub."""
    return any(_names_hub(part) for part in config.products)


def _names_hub(config: MatrixConfig) -> bool:
    tasks = [*config.evaluation.tasks, config.evaluation.dev]
    own = {"own", ""} | {str(task.get("name")) for task in tasks if isinstance(task, dict)}
    if any(isinstance(task, str) and task not in own for task in tasks):
        return True
    sources = [
        e if isinstance(e, str) else e.get("source") or e.get("name") for e in config.encoders
    ]
    data = [e if isinstance(e, str) else e.get("name") for e in config.data]
    chosen = [*config.samplers, *config.candidates, *config.regimes]
    params = [entry for entry in chosen if isinstance(entry, dict)]
    sources += [named_within(entry, "guide") for entry in params if "guide" not in entry]
    sources += [entry.get("guide", "") for entry in params]
    nli = [entry["nli"] for entry in params if entry.get("nli")]
    data += [e if isinstance(e, str) else e.get("name") for e in nli]
    flat = [s for source in sources for s in _listed(source)]
    names = [d for name in data for d in _listed(name)]
    return not all(is_local(str(s)) for s in flat) or not set(names) <= set(_LOCAL_DATA)


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]
