"""Interleave several trainings in one process, each with the results it has alone.

Each works on a separate stream, so the device runs steps of several at the same time. Only one
thread works at a time; a training passes its turn on after each step. Random numbers of the process
change with the turn, so every training draws what it would have drawn alone.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

R = TypeVar("R")
Work = Callable[[Callable[[], None]], R]
"""Work of one thread; its argument passes the turn on."""


class Turn:
    """State of the process during the turn of one of the works that share it.

    Args:
        device: Where it works. Random numbers start as the process has them now; a CUDA device
            gets a separate stream.
    """

    def __init__(self, device: torch.device) -> None:
        self._host = torch.get_rng_state()
        self._stream: Any = None
        self._drawn: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            self._stream.wait_stream(torch.cuda.current_stream(device))
            self._default = torch.cuda.default_generators[self._stream.device_index]
            self._drawn = self._default.clone_state()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within, the process's random numbers and the current stream are this one's."""
        outer = torch.get_rng_state()
        torch.set_rng_state(self._host)
        others = None
        if self._stream is not None:
            # The state itself is exchanged, not its numbers: recorded steps hold on to theirs.
            others = self._default.graphsafe_get_state()
            self._default.graphsafe_set_state(self._drawn)
        try:
            if self._stream is None:
                yield
            else:
                with torch.cuda.stream(self._stream):
                    yield
        finally:
            self._host = torch.get_rng_state()
            torch.set_rng_state(outer)
            if others is not None:
                self._default.graphsafe_set_state(others)


def in_turn(works: Sequence[Work[R]], device: torch.device) -> list[R | BaseException]:
    """Do several works in turn, each in a separate thread.

    Args:
        works: Each gets a function to call after every step, which returns at its next turn.
        device: Where they work.

    Returns:
        The result of each, or its exception.
    """
    turns = [Turn(device) for _ in works]
    go = [threading.Semaphore(0) for _ in works]
    over = threading.Semaphore(0)
    left = list(range(len(works)))
    found: list[Any] = [None] * len(works)

    def work(place: int) -> None:
        go[place].acquire()
        taken = [turns[place].taken()]
        taken[0].__enter__()

        def pass_on() -> None:
            following = _after(place, left)
            if following == place:
                return
            taken[0].__exit__(None, None, None)
            go[following].release()
            go[place].acquire()
            taken[0] = turns[place].taken()
            taken[0].__enter__()

        try:
            found[place] = works[place](pass_on)
        except BaseException as error:
            found[place] = error
        finally:
            taken[0].__exit__(None, None, None)
            following = _after(place, left)
            left.remove(place)
            (over if following == place else go[following]).release()

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(works))]
    for thread in threads:
        thread.start()
    if works:
        go[0].release()
        over.acquire()
    for thread in threads:
        thread.join()
    return found


def _after(place: int, left: Sequence[int]) -> int:
    """Return the place whose turn follows, among those left."""
    return left[(left.index(place) + 1) % len(left)]
