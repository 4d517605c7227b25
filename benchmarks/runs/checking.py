"""Checks of a matrix or of a tuning study that are made before any of its cells runs."""

from collections.abc import Sequence

from nsbench.benchmarks.device import pick_device
from nsbench.benchmarks.encoders.products import slow_bf16
from nsbench.benchmarks.evaluation.evaluate import check_dev, check_tasks
from nsbench.benchmarks.evaluation.local_tasks import development_task, evaluation_tasks
from nsbench.benchmarks.evaluation.mteb.tasks import refuse_missing, resolve
from nsbench.benchmarks.matrix.config import ConfigError, EvaluationConfig, MatrixConfig, grid
from nsbench.benchmarks.matrix.expand import expand_axes, refuse_untested, untested
from nsbench.benchmarks.matrix.tune_file import TuneConfig, study_matrix
from nsbench.benchmarks.records.cell import named
from nsbench.benchmarks.records.local_task import OWN
from nsbench.benchmarks.runs.executors.base import Request, executor_of
from nsbench.benchmarks.runs.trials import drawn, in_words
from nsbench.benchmarks.runs.tuned_methods import Method, trial_matrix
from nsbench.benchmarks.training.replay.capture import replay_mode

HERE = ("local", "beside", "team")
"""Executors that run cells on this machine."""


def check_machine(request: Request, executor: str, matrix: MatrixConfig) -> None:
    """Check that an executor can do what is asked of it, on the device that is asked for.

    A precision that is slow on this machine is said, too.

    Args:
        request: What is asked of the executor.
        executor: Its name.
        matrix: What is to run.

    Raises:
        ValueError: If it cannot, or torch does not see the device.
    """
    executor_of(executor).check(request)
    device = pick_device(request.device)
    replay_mode(device)
    if executor in HERE and (note := slow_bf16(precisions(matrix), device)):
        request.on_note(note)


def precisions(matrix: MatrixConfig) -> set[str]:
    """Return every precision that a matrix trains, evaluates or holds its weights in."""
    parts = matrix.products
    found = {p for part in parts for p in (part.budget.precision, part.evaluation.precision)}
    entries = [named(entry, "encoder")[1] for part in parts for entry in part.encoders]
    held = [choice for own in entries for choice in grid({"weights": own.get("weights")})]
    return found | {str(choice["weights"]) for choice in held if choice["weights"]}


def check_evaluation(*evaluations: EvaluationConfig) -> None:
    """Check the names of tasks and development tasks, then that their data are here.

    Raises:
        ValueError: If a name is unknown, a file is not as it should be, or data are missing; a
            wrong name of any is said before data that are missing.
        FileNotFoundError: If a file is missing.
        ModuleNotFoundError: If mteb is needed and not installed.
    """
    checked = []
    for settings in evaluations:
        tasks = evaluation_tasks(settings.tasks)
        dev = development_task(settings.dev, tasks)
        names, devs = [t for t in tasks if t != OWN], [] if dev in ("", OWN) else [dev]
        for asked in filter(None, (names, devs)):
            check_tasks(asked)
        checked.append((names if settings.missing == "error" else [], devs))
    for names, devs in checked:
        if names:
            refuse_missing(resolve(names))
        for dev in devs:
            check_dev(dev)


def check_study(
    config: TuneConfig, matrix: MatrixConfig, request: Request, methods: Sequence[Method]
) -> None:
    """Check that a study can train, and that every setting it will try is legal.

    Args:
        config: The study.
        matrix: The matrix that it tunes.
        request: What is asked of the workers.
        methods: Those that will run.

    Raises:
        ConfigError: If no method can train, a range holds a value that is not legal, or the data
            sets' own tests are asked for where there are none.
        ValueError: As `check_machine` and `check_evaluation`.
    """
    whole, tried = study_matrix(config, matrix), trial_matrix(config, matrix)
    check_machine(request, "local", whole)
    check_evaluation(matrix.evaluation, tried.evaluation)
    every = expand_axes(whole)[1]
    refuse_untested(matrix.evaluation.tasks, every)
    if note := untested(matrix.evaluation.tasks, every):
        request.on_note(note)
    reasons = [m.skip or _trial_skip(config, tried, m) for m in methods]
    if reasons and all(reasons):
        raise ConfigError(f"no method of the study can train: {reasons[0]}")


def _trial_skip(config: TuneConfig, tried: MatrixConfig, method: Method) -> str:
    """Return why a method's trials are skipped; empty if they run, whose settings are all legal."""
    reasons = []
    for number in range(config.trials):
        values = drawn(method.space, number, size=config.trials, seed=config.seed)
        try:
            reasons += [p.skip for p in method.cells(tried, values, config.trial_seeds[:1])]
        except ValueError as error:
            trial = f"{method.title}, trial {number + 1} ({in_words(values)})"
            raise ConfigError(f"{trial}: {error}") from None
    return reasons[0] if all(reasons) else ""
