"""Run cells as Slurm job arrays, through submitit.

Each task of an array runs its cells in a separate worker process, as on one machine, so that a
crash is a failed record. A task that is preempted or reaches its time limit is put back into the
queue and continues with the missing cells. The file ``slurm/submitted.json`` in the results folder
lists the submitted cells: an interrupted run that is started again waits for the tasks that are
still queued instead of submitting their cells twice. The state of tasks is read from ``squeue``, so
that no accounting database is needed; outcomes are read from the records, never from pickles.
"""

import importlib.util
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydantic import Field

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.matrix.executors import ExecutorSettings, register
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.slurm_logs import log_of, logs, submitted, submitted_path
from nsbench.benchmarks.runs.executors import base
from nsbench.benchmarks.runs.executors.local import LocalPool

LARGEST_ARRAY = 1000
"""Tasks of one array; Slurm's own default limit is 1001."""
_POLL_SECONDS = 2.0
_POLLS_WITHOUT_RECORD = 3


class SlurmCells:
    """The work of a task: some cells, in a worker process, and again after a requeue.

    Args:
        time_limit: Seconds a cell may take; 0 for no limit.
    """

    def __init__(self, time_limit: float) -> None:
        self.time_limit = time_limit

    def __call__(self, jobs: list[base.Job]) -> None:
        """Run the cells that have no record yet."""
        todo = [job for job in jobs if base.ended(job) is None]
        for job, record in LocalPool(1, time_limit=self.time_limit).run(todo):
            sys.stdout.write(f"{job.planned.cell}: {record.status if record else 'elsewhere'}\n")

    def checkpoint(self, jobs: list[base.Job]) -> Any:
        """Return what submitit puts back into the queue: the same cells."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, jobs)


_Word = Field(default="", pattern=r"^[A-Za-z0-9_.,:&|@+-]*$", max_length=200)
"""A word for a scheduler's command file: nothing in it can end a line or start a command."""


class SlurmSettings(ExecutorSettings):
    """Settings of cells on Slurm.

    Attributes:
        partition: Partition, or several; empty for Slurm's default. So for the next three.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that a node must have.
        gpus: GPUs of a task.
        cpus: Cores of a task.
        memory_gb: Memory of a task; 0 for Slurm's default.
        minutes: Time limit of a task.
        per_task: Cells that a task runs one after the other.
        parallel: Tasks of an array that may run at once.
        requeues: How often a task that ran out of time is put back into the queue.
        signal_seconds: How long before its end a task is told to stop.
    """

    partition: str = _Word
    account: str = _Word
    qos: str = _Word
    constraint: str = _Word
    gpus: int = Field(default=0, ge=0, le=64)
    cpus: int = Field(default=1, ge=1, le=1024)
    memory_gb: float = Field(default=0.0, ge=0, le=1e5, allow_inf_nan=False)
    minutes: int = Field(default=60, ge=1, le=100_000)
    per_task: int = Field(default=1, ge=1, le=100_000)
    parallel: int = Field(default=256, ge=1, le=100_000)
    requeues: int = Field(default=3, ge=0, le=1000)
    signal_seconds: int = Field(default=90, ge=5, le=3600)


@register("slurm")
class SlurmPool(base.Executor):
    """Runs jobs as tasks of Slurm job arrays.

    Args:
        folder: The results folder, on storage that all nodes share.
        settings: Partition, GPUs, time and the like.
        time_limit: Seconds a cell may take; 0 for no limit.
        max_hours: Hours after which the remaining tasks are cancelled; 0 for no limit.
        on_note: Called with a sentence when there is something to say.

    Raises:
        ModuleNotFoundError: If submitit is not installed.
        ValueError: If there is no Slurm here.
    """

    Settings = SlurmSettings

    @classmethod
    def of(cls, request: base.Request, settings: SlurmSettings) -> "SlurmPool":
        """Return an executor for one run."""
        return cls(
            request.folder,
            settings,
            time_limit=request.time_limit,
            max_hours=request.max_hours,
            on_note=request.on_note,
        )

    def __init__(
        self,
        folder: ResultsFolder,
        settings: SlurmSettings,
        *,
        time_limit: float = 0.0,
        max_hours: float = 0.0,
        on_note: Callable[[str], None] = base.silent,
    ) -> None:
        if importlib.util.find_spec("submitit") is None:
            raise ModuleNotFoundError(
                "--executor slurm needs submitit: pip install 'nsbench[slurm]'"
            )
        for tool in ("sbatch", "squeue", "scancel"):
            if shutil.which(tool) is None:
                raise ValueError(f"--executor slurm needs a Slurm client here: {tool} is not found")
        self._folder = folder
        self._settings = settings
        self._time_limit = time_limit
        self._deadline = base.deadline(max_hours)
        self._note = on_note

    def run(
        self, jobs: Sequence[base.Job], on_start: base.OnStart = base.no_start, /
    ) -> Iterator[base.Ended]:
        """Submit what is not queued already, and yield each cell as its record appears."""
        states = task_states()
        before = submitted(self._folder)
        tasks = {k: t for k, t in before.items() if not _is_over(states.get(t, ""))}
        waiting = {job.planned.cell.key: job for job in jobs}
        queued = [key for key in waiting if key in tasks]
        if queued:
            self._note(f"{len(queued)} cells are in Slurm's queue already; waiting for them")
        tasks |= self._submit([job for key, job in waiting.items() if key not in tasks])
        write_atomically(submitted_path(self._folder), pretty_json(before | tasks))
        missing: dict[str, int] = {}
        try:
            while waiting:
                states = task_states()
                for key, job in list(waiting.items()):
                    state = states.get(tasks[key], "")
                    if state == "RUNNING":
                        on_start(job)
                    if (record := base.ended(job)) is None and _is_over(state):
                        missing[key] = missing.get(key, 0) + 1
                        if missing[key] >= _POLLS_WITHOUT_RECORD:  # shared storage may lag behind
                            record = base.record_crash(job, self._cause(tasks[key], state), 0.0)
                    if record is not None:
                        del waiting[key]
                        yield job, record
                if time.monotonic() > self._deadline:
                    self._cancel({tasks[key] for key in waiting})
                    return
                if waiting:
                    time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            ids = sorted({tasks[key].partition("_")[0] for key in waiting})
            self._note(
                f"{len(waiting)} cells stay in Slurm's queue and continue without this command: "
                f"run it again to wait for them, or scancel {' '.join(ids)} to end them"
            )
            raise

    def _submit(self, jobs: list[base.Job]) -> dict[str, str]:
        """Submit jobs as arrays and return the task of each cell by the cell's key."""
        import submitit

        size = self._settings.per_task
        parts = [jobs[i : i + size] for i in range(0, len(jobs), size)]
        tasks: dict[str, str] = {}
        for start in range(0, len(parts), LARGEST_ARRAY):
            executor = submitit.AutoExecutor(
                folder=logs(self._folder),
                cluster="slurm",
                slurm_max_num_timeout=self._settings.requeues,
            )
            executor.update_parameters(**_parameters(self._settings))
            array = parts[start : start + LARGEST_ARRAY]
            for part, task in zip(
                array, executor.map_array(SlurmCells(self._time_limit), array), strict=True
            ):
                tasks |= {job.planned.cell.key: str(task.job_id) for job in part}
        return tasks

    def _cause(self, task: str, state: str) -> str:
        log = log_of(self._folder, task)
        return f"Slurm task {task} ended ({state or 'not in the queue any more'}); its log is {log}"

    def _cancel(self, tasks: set[str]) -> None:
        self._note(f"out of time: cancelling {len(tasks)} tasks; finished cells are kept")
        subprocess.run(["scancel", *sorted(tasks)], check=False, capture_output=True, timeout=60)


def _parameters(settings: SlurmSettings) -> dict[str, Any]:
    """Return the settings under submitit's names."""
    wanted: dict[str, Any] = {
        "timeout_min": settings.minutes,
        "cpus_per_task": settings.cpus,
        "tasks_per_node": 1,
        "nodes": 1,
        "name": "nsbench",
        "slurm_array_parallelism": settings.parallel,
        "slurm_signal_delay_s": settings.signal_seconds,
        "slurm_additional_parameters": {"requeue": True},
    }
    if settings.gpus:
        wanted["gpus_per_node"] = settings.gpus
    if settings.memory_gb:
        wanted["mem_gb"] = settings.memory_gb
    for name in ("partition", "account", "qos", "constraint"):
        if value := getattr(settings, name):
            wanted[f"slurm_{name}"] = value
    return wanted


def task_states() -> dict[str, str]:
    """Return the state of every task that Slurm still knows, by ``<array>_<index>``.

    Raises:
        ValueError: If squeue fails; the message holds its own.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", "--me", "--format=%i %T"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise ValueError(f"squeue failed: {done.stderr.strip()}")
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())


def _is_over(state: str) -> bool:
    """Return whether a task in this state has ended; no state: Slurm has forgotten it."""
    active = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "RESIZING", "REQUEUED", "STOPPED")
    return not state.startswith((*active, "REQUEUE_", "COMPLETING", "SIGNALING", "STAGE_OUT"))
