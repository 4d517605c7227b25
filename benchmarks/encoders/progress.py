"""Progress of encoding: a listener hears how many texts of a call are embedded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[int, int], None]
"""Called with the texts embedded so far and the texts of the whole call."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell a listener of all texts that are embedded inside the block, batch by batch."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def embedded(texts: int, total: int) -> None:
    """Tell the listener, if there is one, that so many texts of a call are embedded."""
    listener = _listener.get()
    if listener is not None:
        listener(texts, total)
