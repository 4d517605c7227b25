"""Several trainings in one process, in turn, each as if it were alone.

While one waits for its device the others hand it work: on streams of their own, their steps run at
the same time there. Only one thread works at a time, so nothing in a cell needs to know; it gives
its turn away after each step. Random numbers that belong to the process are changed with the turn,
and every training draws what it would have drawn alone.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

R = TypeVar("R")
Work = Callable[[Callable[[], None]], R]
"""What one thread does; it is given what gives the turn away."""


class Turn:
    """What of a process belongs to one of those that share it, while it works.

    Args:
        device: Where it works. Random numbers start as the process has them now; on a CUDA device
            there is a stream of its own.
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
    """Do several things, each in a thread of its own, of which one works at a time.

    Args:
        works: Each is called with a function to call after every step, which returns when it is
            its turn again.
        device: Where they work.

    Returns:
        What each gave, or what it raised.
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
    """Whose turn comes after that of one of those that are left."""
    return left[(left.index(place) + 1) % len(left)]
