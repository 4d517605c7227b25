"""Run cells as Ray tasks, with declared cores and (fractions of) GPUs, here or on a cluster.

A task runs its cell in a separate worker process, as on one machine, so that a crash is a failed
record; a lost node's cells are started again elsewhere. Records are written to the results folder,
which all nodes must share; Ray carries them back only to say that a cell has ended.
"""

import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.matrix.executors import ExecutorSettings, register
from nsbench.benchmarks.records import CellPaths, RunRecord
from nsbench.benchmarks.runs.executors import base
from nsbench.benchmarks.runs.executors.local import LocalPool

_POLL_SECONDS = 0.5
_AT_ONCE = 100


def run_isolated(job: base.Job, time_limit: float) -> RunRecord | None:
    """Run one cell in a worker process: the work of a Ray task.

    Raises:
        StorageError: If the results folder cannot be written on this node.
    """
    for _, record in LocalPool(1, time_limit=time_limit).run([job]):
        return record
    return None


class RaySettings(ExecutorSettings):
    """Settings of cells on Ray.

    Attributes:
        address: Address of a running cluster, ``auto`` to find it; empty starts one here.
        cpus: Cores of a cell.
        gpus: GPUs of a cell; a fraction lets several share one.
        retries: How often a cell whose node or process was lost is started again elsewhere.
    """

    address: str = Field(default="", pattern=r"^[A-Za-z0-9_.:/\[\]-]*$", max_length=200)
    cpus: float = Field(default=1.0, ge=0, le=1024, allow_inf_nan=False)
    gpus: float = Field(default=0.0, ge=0, le=64, allow_inf_nan=False)
    retries: int = Field(default=3, ge=0, le=1000)


@register("ray")
class RayPool(base.Executor):
    """Runs jobs as Ray tasks.

    Args:
        settings: Address, cores and GPUs of a cell, retries of lost ones.
        time_limit: Seconds a cell may take; 0 for no limit.
        max_hours: Hours after which running cells are stopped; 0 for no limit.

    Raises:
        ModuleNotFoundError: If Ray is not installed.
    """

    Settings = RaySettings

    @classmethod
    def of(cls, request: base.Request, settings: RaySettings) -> "RayPool":
        """Return an executor for one run; the request's address goes before the file's."""
        if request.address:
            settings = settings.model_copy(update={"address": request.address})
        return cls(settings, time_limit=request.time_limit, max_hours=request.max_hours)

    def __init__(
        self, settings: RaySettings, *, time_limit: float = 0.0, max_hours: float = 0.0
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ModuleNotFoundError("--executor ray needs Ray: pip install 'nsbench[ray]'")
        self._settings = settings
        self._time_limit = time_limit
        self._deadline = base.deadline(max_hours)

    def run(
        self, jobs: Sequence[base.Job], on_start: base.OnStart = base.no_start, /
    ) -> Iterator[base.Ended]:
        """Run jobs and yield each with its record as it ends.

        Raises:
            StorageError: If the results folder cannot be written on a node.
            ValueError: If no node can ever hold a cell's cores and GPUs.
        """
        ray, ours = self._connect()
        try:
            self._check(ray)
            task = ray.remote(
                num_cpus=self._settings.cpus,
                num_gpus=self._settings.gpus,
                max_retries=self._settings.retries,
            )(run_isolated)
            refs: dict[Any, base.Job] = {}
            for job in jobs:
                on_start(job)
                there = replace(job, paths=CellPaths(job.paths.folder.absolute()))
                refs[task.remote(there, self._time_limit)] = job
            while refs:
                done, _ = ray.wait(
                    list(refs), num_returns=min(len(refs), _AT_ONCE), timeout=_POLL_SECONDS
                )
                for ref in done:
                    job = refs.pop(ref)
                    yield job, self._outcome(ray, ref, job)
                if time.monotonic() > self._deadline:
                    for ref in refs:
                        ray.cancel(ref, force=True)
                    return
        finally:
            if ours:
                ray.shutdown()

    def _connect(self) -> tuple[Any, bool]:
        """Connect to Ray; return it, and whether this call connected it."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        if ray.is_initialized():
            return ray, False
        ray.init(
            address=self._settings.address or "local",
            include_dashboard=None if self._settings.address else False,
            log_to_driver=False,
            logging_level="warning",
        )
        return ray, True

    def _check(self, ray: Any) -> None:
        """Refuse a cell that is too large for every node: its task would wait for ever."""
        nodes = [n["Resources"] for n in ray.nodes() if n["Alive"]]
        want = {"CPU": self._settings.cpus, "GPU": self._settings.gpus}
        if not any(all(n.get(k, 0.0) >= v for k, v in want.items()) for n in nodes):
            have = "; ".join(
                f"{n.get('CPU', 0.0):g} cores and {n.get('GPU', 0.0):g} GPUs" for n in nodes
            )
            raise ValueError(
                f"[run.ray] asks for {want['CPU']:g} cores and {want['GPU']:g} GPUs a cell, and no "
                f"node has that many: {have}"
            )

    def _outcome(self, ray: Any, ref: Any, job: base.Job) -> RunRecord | None:
        try:
            record: RunRecord | None = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, StorageError):
                raise error.cause from None
            return base.record_crash(job, f"the Ray task failed: {error.cause!r}", 0.0)
        except ray.exceptions.RayError as error:
            line = " ".join(str(error).split())[:200]
            lost = f"lost {self._settings.retries + 1} times ({type(error).__name__}: {line})"
            return base.record_crash(job, lost, 0.0)
        return record
