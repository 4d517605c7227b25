"""Cells as Ray tasks, with declared cores and (fractions of) GPUs, here or on a running cluster.

A task runs its cell in a worker process of its own, as on one machine, so that a crash is a failed
record; a lost node's cells are started again elsewhere. Records are written to the results folder,
which all nodes must share; Ray carries them back only to say that a cell has ended.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.matrix.config import RayConfig
from nsbench.benchmarks.records import CellPaths, RunRecord
from nsbench.benchmarks.runs.executors.base import Ended, Job, deadline, record_crash
from nsbench.benchmarks.runs.executors.local import LocalPool

_LOOK = 0.5
_AT_ONCE = 100


def run_isolated(job: Job, time_limit: float) -> RunRecord | None:
    """Run one cell in a worker process of this one; what a Ray task does.

    Raises:
        StorageError: If the results folder cannot be written on this node.
    """
    for _, record in LocalPool(1, time_limit=time_limit).run([job]):
        return record
    return None


class RayPool:
    """Runs jobs as Ray tasks.

    Args:
        settings: Address, cores and GPUs of a cell, retries of lost ones.
        time_limit: Seconds a cell may take; 0 for no limit.
        max_hours: Hours after which no cell is at work; 0 for no limit.
        on_note: Called with a sentence when there is something to say.

    Raises:
        ModuleNotFoundError: If Ray is not installed.
    """

    def __init__(
        self,
        settings: RayConfig,
        *,
        time_limit: float = 0.0,
        max_hours: float = 0.0,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ModuleNotFoundError("--executor ray needs Ray: pip install 'nsbench[ray]'")
        self._settings = settings
        self._time_limit = time_limit
        self._deadline = deadline(max_hours)
        self._note = on_note

    def run(
        self, jobs: Sequence[Job], on_start: Callable[[Job], None] = lambda job: None, /
    ) -> Iterator[Ended]:
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
            refs: dict[Any, Job] = {}
            for job in jobs:
                on_start(job)
                there = replace(job, paths=CellPaths(job.paths.folder.absolute()))
                refs[task.remote(there, self._time_limit)] = job
            while refs:
                done, _ = ray.wait(list(refs), num_returns=min(len(refs), _AT_ONCE), timeout=_LOOK)
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
        """Ray, connected; and whether it was we who did so."""
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
        """See that some node is large enough, since a task that fits nowhere waits for ever."""
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

    def _outcome(self, ray: Any, ref: Any, job: Job) -> RunRecord | None:
        try:
            record: RunRecord | None = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, StorageError):
                raise error.cause from None
            return record_crash(job, f"the Ray task failed: {error.cause!r}", 0.0)
        except ray.exceptions.RayError as error:
            line = " ".join(str(error).split())[:200]
            lost = f"lost {self._settings.retries + 1} times ({type(error).__name__}: {line})"
            return record_crash(job, lost, 0.0)
        return record
