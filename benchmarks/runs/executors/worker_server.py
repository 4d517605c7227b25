"""The server that worker processes are forked from: it imports the engine once, and nothing else.

It is started before anything heavy is imported here, so that it imports while the parent plans.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from importlib.resources.abc import Traversable
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType
from typing import Any

from nsbench.benchmarks.runs.executors.variables import variables

PRELOADED = (
    "nsbench.benchmarks.runs.cell_run",
    "scipy.stats",
    "torch._dynamo",
    "threadpoolctl",
    "transformers.tokenization_utils_tokenizers",
)
"""What every cell imports sooner or later; none of it starts a thread on import."""
FOR_LABELS = ("sklearn.pipeline", "sklearn.linear_model", "sklearn.metrics")
"""What cells import besides that are scored on labels by tests of their own data."""


@contextmanager
def threads_of_workers(threads: int) -> Iterator[None]:
    """Let worker processes started inside read their thread counts from the environment."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    wanted = dict.fromkeys(names, str(threads)) | {"TOKENIZERS_PARALLELISM": "false"}
    with variables(wanted):
        yield


def prepare(config: str) -> None:
    """Start the server for a matrix file or suite; what it inherits of the environment stands.

    Args:
        config: As `matrix.config.load_config` takes it. A file that cannot be read
            starts nothing: it is read again and judged there.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    try:
        path: Path | Traversable = Path(config)
        if not path.is_file():
            path = (
                resources.files("nsbench.benchmarks.matrix.configs") / f"{Path(config).name}.toml"
            )
        raw = tomllib.loads(path.read_text("utf-8"))
        threads = raw.get("run", {}).get("threads", 1)
        labels = "own" in raw.get("evaluation", {}).get("tasks", ["own"])
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return
    if not isinstance(threads, int) or threads < 1:
        return
    process_context([*PRELOADED, *(FOR_LABELS if labels else ())])
    with threads_of_workers(threads), no_main():
        forkserver.ensure_running()
    atexit.register(end)


def end() -> None:
    """End the server, whatever it is importing; its workers have ended or end with this process.

    It would unload all that it has imported, for a second in which whoever reads this run's output
    through a pipe waits, since the server holds the pipe too.
    """
    server = getattr(forkserver, "_forkserver", None)
    number = getattr(server, "_forkserver_pid", None)
    if number:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def process_context(preloaded: Sequence[str] = (*PRELOADED, *FOR_LABELS)) -> Any:
    """How worker processes are made: forked from the server, where there is one.

    Args:
        preloaded: What the server imports, should this start it.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forkserver.set_forkserver_preload(list(preloaded))
    return multiprocessing.get_context("forkserver")


@contextmanager
def no_main() -> Iterator[None]:
    """Keep new processes from running the parent's main module again: they need none of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
