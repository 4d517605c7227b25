"""Run a matrix: plan its cells, run those that have no record, and say what has become of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.benchmarks import hub
from nsbench.benchmarks.contrast.distributed import Team, launched
from nsbench.benchmarks.files import StorageError, in_the_way
from nsbench.benchmarks.matrix.config import (
    MatrixConfig,
    load_config,
    names_hub,
    parse_config,
)
from nsbench.benchmarks.matrix.expand import expand, expand_axes, untested
from nsbench.benchmarks.matrix.scale import scaled
from nsbench.benchmarks.matrix.selecting import only
from nsbench.benchmarks.records import CellPaths, ResultsFolder
from nsbench.benchmarks.records.cache import folder_of
from nsbench.benchmarks.records.shared import Shared
from nsbench.benchmarks.runs.checking import check_evaluation, check_machine
from nsbench.benchmarks.runs.executors import base
from nsbench.benchmarks.runs.executors.team import follow
from nsbench.benchmarks.runs.reporting import Reports, check_trackers
from nsbench.benchmarks.runs.settings import RunSettings
from nsbench.benchmarks.runs.study_file import refuse_study
from nsbench.benchmarks.runs.watch import Watch
from nsbench.samplers import parse_choice


@dataclass(frozen=True)
class Plan:
    """The cells of a run and how they are to be run.

    Attributes:
        matrix: The matrix, changed as the settings of the run say.
        jobs: A job for every cell.
        request: What is asked of the executor.
        executor: Name of the executor.
        team: The processes that torchrun started; mostly one.
        retry_failed: Run failed cells again.
        report_to: Trackers that hear of finished cells.
    """

    matrix: MatrixConfig
    jobs: list[base.Job]
    request: base.Request
    executor: str
    team: Team
    retry_failed: bool
    report_to: tuple[str, ...] = ()

    @property
    def folder(self) -> ResultsFolder:
        """The results folder."""
        return self.request.folder


@dataclass(frozen=True)
class Outcome:
    """Result of a run.

    Attributes:
        folder: The results folder.
        statuses: Status of every cell that has a record: ``done``, ``failed`` or ``skipped``.
        before: Cells that had a record before the run.
        left: Cells without a record.
    """

    folder: ResultsFolder
    statuses: tuple[str, ...] = ()
    before: int = 0
    left: int = 0


def run(
    matrix: str | Path | dict[str, Any] | MatrixConfig,
    out: str | Path | None = None,
    *,
    watch: Watch | None = None,
    **options: Any,
) -> Outcome:
    """Run a benchmark matrix; cells that have a record are not run again.

    Cells run in worker processes. As with every use of `multiprocessing`, a script that calls
    this needs ``if __name__ == "__main__":`` around its code.

    Args:
        matrix: A matrix file (TOML), the name of a suite, or a matrix as plain data.
        out: Results folder; ``out/NAME`` by default.
        watch: Hears how the run goes; silent by default.
        **options: Further fields of `RunSettings`, such as ``workers``, ``only`` or
            ``executor``: the options of ``nsbench run``.

    Returns:
        The results folder, and how many cells are done, failed, skipped and left.

    Raises:
        ValueError: If the matrix or an option is not legal, or data are missing.
        StorageError: If the results folder cannot be written.
    """
    config = parse_config(matrix) if isinstance(matrix, dict) else matrix
    given = {"config": str(config) if isinstance(config, Path) else config, "out_dir": out}
    return run_matrix(RunSettings.model_validate(given | options), watch)


def run_matrix(settings: RunSettings, watch: Watch | None = None) -> Outcome:
    """Plan a matrix and run the cells that have no record.

    Raises:
        ValueError: If something that was asked for is not legal, or data are missing.
        StorageError: If the results folder cannot be written.
    """
    return run_plan(plan_matrix(settings, watch), watch)


def plan_matrix(settings: RunSettings, watch: Watch | None = None) -> Plan:
    """Read a matrix and its data, and check all that can be checked before anything runs.

    Raises:
        ValueError: If something that was asked for is not legal, or data are missing.
    """
    team = launched()
    watch = Watch() if watch is None or team.rank else watch
    check_trackers(settings.report_to)
    matrix = _matrix(settings)
    request = _request(settings, matrix, watch)
    refuse_study(request.folder)
    executor = settings.executor
    if executor == "local" or team.size > 1:
        executor = "team" if team.size > 1 else "local" if settings.beside == 1 else "beside"
    elif settings.beside != 1:
        base.executor_of("beside").check(request)
    check_machine(request, executor, matrix)
    if names_hub(matrix):
        hub.settle(watch.note)
    with watch.stage("looking for the evaluation's data"):
        check_evaluation(matrix.evaluation)
    with watch.stage("reading data and checking the matrix"):
        planned = only(expand(matrix), settings.only)
    watch.absent(planned[0].cell.evaluation.absent)
    if note := untested(matrix.evaluation.tasks, expand_axes(matrix)[1]):
        watch.note(note)
    jobs = base.jobs_of_run(
        planned,
        request.folder,
        matrix.run,
        minutes=settings.checkpoint_every,
        cache=folder_of(settings.cache),
    )
    retry, trackers = settings.retry_failed, settings.report_to
    return Plan(matrix, jobs, request, executor, team, retry, report_to=trackers)


def run_plan(plan: Plan, watch: Watch | None = None) -> Outcome:
    """Run the cells of a plan that have no record.

    Raises:
        StorageError: If the results folder cannot be written.
    """
    jobs = plan.jobs
    if plan.team.rank:
        follow(jobs, plan.team)
        return Outcome(plan.folder)
    watch = watch or Watch()
    _write_matrix(plan)
    todo, statuses = _split(plan, watch)
    before = len(statuses)
    settings = plan.matrix.run.table(plan.executor)
    executor = base.executor_of(plan.executor).of(plan.request, settings)
    watch.begins(before, len(jobs))
    reports = Reports(plan.report_to, plan.folder.root, plan.matrix.name, watch.note)
    waiting = {job.planned.cell.key for job in todo}
    for job in jobs if plan.report_to else ():
        if job.planned.cell.key not in waiting:
            reports.add(job.paths, base.finished(job.paths))
    for job, record in executor.run(todo, watch.started) if todo or plan.team.size > 1 else ():
        if record is not None:
            statuses.append(record.status)
        reports.add(job.paths, record)
        watch.ended(job, record, len(statuses))
    return Outcome(plan.folder, tuple(statuses), before, len(jobs) - len(statuses))


def _matrix(settings: RunSettings) -> MatrixConfig:
    """Return the matrix, with the encoder and the scale that the settings ask for."""
    given = settings.config
    matrix = given if isinstance(given, MatrixConfig) else load_config(given)
    if settings.encoder is not None:
        name, params = parse_choice(settings.encoder)
        matrix = matrix.model_copy(update={"encoders": [{"name": name} | params]})
    return matrix if settings.scale == 1 else scaled(matrix, settings.scale)


def _request(settings: RunSettings, matrix: MatrixConfig, watch: Watch) -> base.Request:
    return base.Request(
        folder=ResultsFolder(settings.out_dir or Path("out") / matrix.name),
        executor=settings.executor,
        device=matrix.run.device,
        threads=matrix.run.threads,
        workers=settings.workers,
        beside=settings.beside,
        address=settings.address,
        time_limit=settings.time_limit or matrix.run.time_limit,
        max_hours=settings.max_hours,
        on_note=watch.note,
    )


def _split(plan: Plan, watch: Watch) -> tuple[list[base.Job], list[str]]:
    """Return the jobs to run, and the statuses of the others."""
    todo: list[base.Job] = []
    statuses: list[str] = []
    shared = Shared()
    for job in plan.jobs:
        record = base.finished(job.paths, retry_failed=plan.retry_failed, shared=shared)
        if record is None and (kind := _obstacle(job.paths)):
            watch.note(f"{kind}: its cell is passed by")
        elif record is None:
            todo.append(base.to_replace(job))
        elif record is not None:
            statuses.append(record.status)
    return todo, statuses


def _obstacle(paths: CellPaths) -> str:
    """Say what is in the place of a file of a cell and is neither a file nor a link."""
    for path in (paths.record, paths.claim, paths.cell):
        kind = in_the_way(path)
        if kind not in ("", "a link"):
            return f"{path} is {kind}, not a file"
    return ""


def _write_matrix(plan: Plan) -> None:
    try:
        plan.folder.runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.at(plan.folder.root, error) from None
    cells = [plan.folder.listed(j.planned.cell) for j in plan.jobs]
    config = plan.matrix.model_dump(mode="json", by_alias=True)
    plan.folder.write_matrix(plan.matrix.name, config, cells)
