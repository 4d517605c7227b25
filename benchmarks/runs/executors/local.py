"""Run cells in worker processes on this machine: a crash or a slow cell costs that cell only.

Workers are forked from a server that has imported the engine once and does nothing else, so that
starting another one is cheap. Each gets one cell at a time; the parent notices when one dies,
writes the cell's failed record and starts another worker. A cell that ran out of memory while
others ran is run once more at the end, alone. When the parent dies, the workers end.
"""

import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import Any

from tqdm import tqdm

from nsbench.benchmarks import hub
from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.matrix.executors import ExecutorSettings, register
from nsbench.benchmarks.records import RunRecord, claims
from nsbench.benchmarks.runs.executors import base
from nsbench.benchmarks.runs.executors.starts import ASKED_TO_STOP, Starts
from nsbench.benchmarks.runs.executors.worker_server import (
    process_context,
    threads_of_workers,
    undisturbed,
)
from nsbench.benchmarks.runs.memory import crowded, lacked_memory

PUT_BACK = 3
"""Restarts of such a cell before it counts as crashed."""
_SILENT = object()
_POLL_SECONDS = 0.5
_STOP_SECONDS = 5.0


@register("local")
class LocalPool(base.Executor):
    """Runs jobs in worker processes.

    Args:
        workers: Processes, >= 1.
        time_limit: Seconds that a cell may take; 0 for no limit.
        max_hours: Hours after which running cells are stopped; 0 for no limit. A cell that would
            take longer (by the median of those that ended) is not begun.
        on_note: Called with a sentence when there is something to say, such as waiting for
            cells that run elsewhere.

    Attributes:
        left: Cells that `max_hours` left undone, after the run.
    """

    Settings = ExecutorSettings

    @classmethod
    def of(cls, request: base.Request, settings: ExecutorSettings) -> "LocalPool":
        """Return an executor for one run."""
        return cls(
            worker_count(request),
            time_limit=request.time_limit,
            max_hours=request.max_hours,
            on_note=request.on_note,
        )

    def __init__(
        self,
        workers: int,
        *,
        time_limit: float = 0.0,
        max_hours: float = 0.0,
        on_note: Callable[[str], None] = base.silent,
    ) -> None:
        self.left = 0
        self._size = workers
        self._time_limit = time_limit
        self._deadline = base.deadline(max_hours)
        self._note = on_note
        self._workers: list[_Worker] = []
        self._took: list[float] = []
        self._starts = Starts()
        self._again: list[base.Job] = []
        self._crowded: list[base.Job] = []  # they lacked memory beside others
        self._put_back: Counter[str] = Counter()

    def run(
        self, jobs: Sequence[base.Job], on_start: base.OnStart = base.no_start, /
    ) -> Iterator[base.Ended]:
        """Run jobs and yield each with its record as it ends.

        A cell that another process is running is waited for, and taken over if that process
        dies.

        Raises:
            StorageError: If the results folder cannot be written; what has ended is kept.
            RuntimeError: If no worker can be started.
        """
        waiting = deque(jobs)
        elsewhere: dict[str, tuple[base.Job, float]] = {}
        noted = False
        try:
            while waiting or elsewhere or self._busy or self._alone_now(waiting):
                if not self._in_time(waiting, elsewhere):
                    return
                self._hand_out(waiting, on_start)
                for worker in self._ready():
                    if (result := self._outcome(worker)) is None:
                        continue
                    job, record = result
                    if record is None:
                        elsewhere[job.planned.cell.key] = job, 0.0
                        continue
                    if self._size > 1 and lacked_memory(record):
                        job.paths.record.unlink(missing_ok=True)  # it has yet to end
                        self._crowded.append(job)
                        continue
                    self._took.append(record.seconds.get("total", 0.0))
                    yield job, record
                waiting.extendleft(self._again)
                self._again.clear()
                yield from self._ended_elsewhere(elsewhere, waiting)
                if elsewhere and not noted and not self._busy:
                    noted = True
                    self._note(_waiting_for([job for job, _ in elsewhere.values()]))
        finally:
            self._stop()

    @property
    def _busy(self) -> bool:
        return any(w.job for w in self._workers)

    def _alone_now(self, waiting: deque[base.Job]) -> bool:
        """Let cells that lacked memory wait again, for one new worker; return whether any do."""
        if self._crowded:
            self._note(crowded(len(self._crowded), self._size))
            waiting.extend(self._crowded)
            self._crowded.clear()
            self._stop()
            self._size = 1
        return bool(waiting)

    def _ended_elsewhere(
        self, elsewhere: dict[str, tuple[base.Job, float]], waiting: deque[base.Job]
    ) -> Iterator[base.Ended]:
        """Yield cells that other processes ended; put back those whose process died."""
        now = time.monotonic()
        for key, (job, due) in list(elsewhere.items()):
            if due > now:
                continue
            del elsewhere[key]
            if (record := base.ended(job)) is not None:
                yield job, record
            elif claims.free(job.paths.claim):
                waiting.append(job)
            else:
                elsewhere[key] = job, now + 2 * _POLL_SECONDS

    def _in_time(
        self, waiting: deque[base.Job], elsewhere: dict[str, tuple[base.Job, float]]
    ) -> bool:
        """Return False once `max_hours` are over; drop waiting cells that would take longer."""
        rest = self._deadline - time.monotonic()
        if waiting and rest < (median(self._took) if self._took else 0.0):
            self.left += len(waiting)
            waiting.clear()
        if rest <= 0:
            self.left += len(elsewhere) + sum(w.job is not None for w in self._workers)
            self.left += len(self._crowded)
            return False
        return True

    def _hand_out(self, waiting: deque[base.Job], on_start: Callable[[base.Job], None]) -> None:
        for worker in self._workers:
            if waiting and worker.idle:
                on_start(waiting[0])  # before: what it writes down holds if we are killed here
                if worker.give(waiting[0]):
                    waiting.popleft()
        busy = sum(w.job is not None for w in self._workers)
        while len(self._workers) < min(self._size, busy + len(waiting)):
            self._workers.append(self._started(waiting[0].threads))

    def _started(self, threads: int) -> "_Worker":
        while True:
            self._starts.check()
            try:
                return _Worker(threads)
            except (OSError, EOFError):  # the server died; it is started again
                self._starts.failed(*ASKED_TO_STOP[1:])

    def _ready(self) -> list["_Worker"]:
        """Wait a moment; return workers that sent a message, died, or are out of time."""
        watched: dict[Any, _Worker] = {}
        for worker in self._workers:
            watched |= {worker.pipe: worker, worker.process.sentinel: worker}
        seconds = min(_POLL_SECONDS, max(self._deadline - time.monotonic(), 0.0))
        if not watched:
            time.sleep(seconds)
        hit = connection.wait(list(watched), seconds) if watched else []
        late = [w for w in self._workers if w.job and 0 < self._time_limit < w.seconds]
        return list(dict.fromkeys([*(watched[h] for h in hit), *late]))

    def _outcome(self, worker: "_Worker") -> tuple[base.Job, RunRecord | None] | None:
        """Return a worker's cell and its record; ``None`` if no cell of it has ended."""
        job, seconds = worker.job, worker.seconds
        late, message = False, _SILENT
        with suppress(EOFError, OSError):  # it closed the pipe: it died
            if worker.pipe.poll():
                message = worker.pipe.recv()
            else:
                late = job is not None and 0 < self._time_limit < seconds
                if worker.process.is_alive() and not late:
                    return None
        if message is not _SILENT:  # outside: what it reports may be an OSError itself
            return self._received(worker, message)
        if late:
            worker.process.kill()
        memory = _struck_for_memory() - worker.struck
        self._workers.remove(worker)
        code = worker.end()
        if job is None:
            if not worker.idle:
                self._starts.failed(code)
            return None
        key = job.planned.cell.key
        if not late and code in ASKED_TO_STOP and self._put_back[key] < PUT_BACK:
            self._put_back[key] += 1
            self._again.append(job)
            return None
        reason = f"stopped after {self._time_limit:g} s, the time limit of a cell"
        if not late:
            reason = _cause(code, memory)
        return job, base.record_crash(job, reason, seconds)

    def _received(
        self, worker: "_Worker", message: Any
    ) -> tuple[base.Job, RunRecord | None] | None:
        """Handle a message: the worker is ready, its cell has ended, or it cannot write."""
        worker.idle = True
        self._starts.came_up()
        if isinstance(message, StorageError):
            raise message
        if isinstance(message, str):
            worker.born = message
            return None
        job, worker.job = worker.job, None
        return None if job is None else (job, message)

    def _stop(self) -> None:
        """End all workers and free their cells for another run."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.end()
            if worker.job is not None:
                claims.free(worker.job.paths.claim)
        self._workers.clear()


class _Worker:
    """One worker process, as its parent sees it."""

    def __init__(self, threads: int) -> None:
        context = process_context()
        self.pipe, theirs = context.Pipe()
        ours = os.getpid(), claims.process_born(os.getpid())
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, hub.state(), ours), daemon=True
        )
        with threads_of_workers(threads), undisturbed():
            self.process.start()
        theirs.close()
        self.idle = False
        self.job: base.Job | None = None
        self.born = ""
        self.struck = 0
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it was given its cell."""
        return time.monotonic() - self._since

    def give(self, job: base.Job) -> bool:
        """Give it a cell; return False if it is dead."""
        try:
            self.pipe.send(job)
        except OSError:
            return False
        self.job, self.idle = job, False
        self.struck, self._since = _struck_for_memory(), time.monotonic()
        return True

    def end(self) -> int:
        """End the process and return its exit code, negative for a signal."""
        self.process.join(_STOP_SECONDS if self.process.exitcode is None else 0)
        pid = self.process.pid or 0
        # The exit code comes from the server: if that died, the worker may still live.
        if pid and self.born and claims.process_born(pid) == self.born:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            while claims.process_born(pid) == self.born:
                time.sleep(0.01)
        self.process.join(_STOP_SECONDS)
        self.pipe.close()
        return self.process.exitcode or 0


def _work(pipe: Connection, hub_state: tuple[bool, tuple[str, ...]], ours: tuple[int, str]) -> None:
    """Run one cell at a time until the parent closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and stops this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel, *ours), daemon=True).start()
    hub.take(hub_state)
    import nsbench.benchmarks.runs.cell_run  # noqa: F401  # the server, if any, has imported it

    # A bar's default lock is a system semaphore, which would outlive a worker that is killed.
    tqdm.set_lock(threading.RLock())

    pipe.send(claims.process_born(os.getpid()))
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            result: RunRecord | StorageError | None = base.run_job(job)
        except StorageError as error:
            result = error
        with suppress(BrokenPipeError):
            pipe.send(result)


def _die_with(sentinel: int, pid: int, born: str) -> None:
    """End this process once its parent has ended, by the pipe or by the process table."""
    while not connection.wait([sentinel], _STOP_SECONDS):
        if claims.process_born(pid) != born:
            break
    os._exit(1)


def _waiting_for(jobs: Sequence[base.Job]) -> str:
    owners = [claims.read_owner(job.paths.claim) for job in jobs]
    places = sorted({owner.who for owner in owners if owner})
    return f"waiting for {len(jobs)} cells that run elsewhere ({', '.join(places) or 'just ended'})"


def worker_count(request: base.Request) -> int:
    """Return the number of worker processes: one per core, or one on a GPU, if none is given."""
    if request.workers:
        return request.workers
    import torch  # here: the settings of executors are read without it

    if request.device != "cpu" and torch.cuda.is_available():
        return 1
    return max(1, (os.cpu_count() or 1) // request.threads)


def _struck_for_memory() -> int:
    """Return how many processes the kernel has killed for memory since boot; 0 if unknown."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _cause(code: int, struck: int) -> str:
    """Describe why a worker died."""
    if code == -signal.SIGKILL and struck:
        return (
            "the kernel killed the worker process because memory ran out: "
            "use fewer workers or a smaller batch"
        )
    if code < 0:
        names = {s.value: s.name for s in signal.Signals}
        extra = {
            signal.SIGKILL: " (by hand, or by a limit on memory)",
            signal.SIGSEGV: " (a crash in native code)",
            signal.SIGABRT: " (native code gave up, as it does if memory runs out)",
        }.get(signal.Signals(-code) if -code in names else signal.SIGTERM, "")
        return f"the worker process was killed by {names.get(-code, -code)}{extra}"
    return f"the worker process ended with exit code {code}"
