"""Measure in a separate process, so that nothing that ran before counts."""

import multiprocessing
from collections.abc import Callable
from typing import Any, TypeVar

import torch

Found = TypeVar("Found")


def _child(threads: int, act: Callable[[], Any], answer: Any) -> None:
    torch.set_num_threads(threads)
    answer.send(act())


def apart(threads: int, act: Callable[[], Found]) -> Found:
    """Run a function in its own process and return its answer.

    Args:
        threads: Of torch there.
        act: The function, which a process can be given: a name of a module, or a partial of one.

    Raises:
        RuntimeError: If that process failed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(threads, act, theirs))
    process.start()
    theirs.close()
    try:
        found: Found = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"measuring {act} ended with {process.exitcode}") from None
    process.join()
    return found
