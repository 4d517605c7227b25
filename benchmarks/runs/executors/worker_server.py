"""The server that worker processes are forked from: it imports the engine once, and nothing else.

Started before the parent imports anything heavy, it imports while the parent plans.
"""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker, util
from typing import Any

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.runs.executors.variables import variables

FOR_LABELS = ("sklearn.pipeline", "sklearn.linear_model", "sklearn.metrics")
"""Modules that cells import which are scored on labels by tests of their data set."""
FOR_HUB = ("datasets",)
"""Modules that cells import which read data sets of the hub or mteb's tasks."""
LONGEST = 60
"""Bytes of the path of a folder for temporary files; an address of a socket has 107 in all."""
PRELOADED = "nsbench.benchmarks.runs.executors._preload"
FOR_WEIGHTS = ("torch._dynamo",)
"""Modules that torch's optimizers import. They come after `PRELOADED`: Triton, which is among them,
prints a warning for every object that is left out of the search for cycles."""


@contextmanager
def threads_of_workers(threads: int) -> Iterator[None]:
    """Let worker processes started inside read their thread counts from the environment."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    wanted = dict.fromkeys(names, str(threads)) | {"TOKENIZERS_PARALLELISM": "false"}
    with variables(wanted):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Start processes inside that Ctrl-C does not reach, and whose sockets have a short path.

    A terminal sends Ctrl-C to them too, and while they import they would answer with a traceback;
    their parent ends them. Meanwhile it waits for the end of the block.
    """
    _short_paths()
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _short_paths() -> None:
    """Let multiprocessing keep its sockets where their paths fit into an address.

    Raises:
        StorageError: If there is no such folder.
    """
    given = tempfile.gettempdir()
    if len(os.fsencode(given)) <= LONGEST:
        return
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        if os.access(place, os.W_OK | os.X_OK):
            tempfile.tempdir = place
            try:
                util.get_temp_dir()  # from now on the one of this process
            finally:
                tempfile.tempdir = given
            return
    raise StorageError(
        f"the folder for temporary files, {given}, has a path of {len(os.fsencode(given))} bytes: "
        f"set TMPDIR to one of {LONGEST} at most"
    )


def prepare(threads: int, *, labels: bool = True, weights: bool = True, hub: bool = True) -> None:
    """Start the server, which keeps the environment of this moment.

    Args:
        threads: Threads of torch and BLAS in each worker.
        labels: Import what tests with labels need, too.
        weights: Import what training needs of other weights than a table of tokens, too.
        hub: Import what reads data sets of the hub, too.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        with threads_of_workers(threads), undisturbed():
            process_context(labels=labels, weights=weights, hub=hub)
            forkserver.ensure_running()


def process_context(*, labels: bool = True, weights: bool = True, hub: bool = True) -> Any:
    """Return the multiprocessing context of workers: forked from the server, where there is one.

    Args:
        labels: Let the server, should this start it, import what tests with labels need, too.
        weights: Likewise what training needs of other weights than a table of tokens.
        hub: Likewise what reads data sets of the hub.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    first = [*(FOR_LABELS if labels else ()), *(FOR_HUB if hub else ())]
    forkserver.set_forkserver_preload([*first, PRELOADED, *(FOR_WEIGHTS if weights else ())])
    return multiprocessing.get_context("forkserver")
