"""The server that worker processes are forked from: it imports the engine once, and nothing else.

Started before the parent imports anything heavy, it imports while the parent plans.
"""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any

from nsbench.benchmarks.runs.executors.variables import variables

FOR_LABELS = ("sklearn.pipeline", "sklearn.linear_model", "sklearn.metrics")
"""Modules that cells import which are scored on labels by tests of their own data."""
PRELOADED = "nsbench.benchmarks.runs.executors._preload"


@contextmanager
def threads_of_workers(threads: int) -> Iterator[None]:
    """Let worker processes started inside read their thread counts from the environment."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    wanted = dict.fromkeys(names, str(threads)) | {"TOKENIZERS_PARALLELISM": "false"}
    with variables(wanted):
        yield


def prepare(threads: int, *, labels: bool = True) -> None:
    """Start the server, which keeps the environment of this moment.

    Args:
        threads: Threads of torch and BLAS in each worker.
        labels: Import what tests with labels need, too.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        with threads_of_workers(threads):
            process_context(labels=labels)
            forkserver.ensure_running()


def process_context(*, labels: bool = True) -> Any:
    """Return the multiprocessing context of workers: forked from the server, where there is one.

    Args:
        labels: Let the server, should this start it, import what tests with labels need, too.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forkserver.set_forkserver_preload([*(FOR_LABELS if labels else ()), PRELOADED])
    return multiprocessing.get_context("forkserver")
