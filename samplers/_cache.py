"""Bounded caches of a process: values by key, under names by which they can be cleared."""

import os
from collections.abc import Callable, Hashable
from functools import wraps
from threading import RLock
from typing import Generic, ParamSpec, TypeVar

V = TypeVar("V")
P = ParamSpec("P")
R = TypeVar("R")


class Cache(Generic[V]):
    """Values by key, for several threads; past its bound, those used longest ago are dropped.

    Args:
        name: Import name of what fills it, for `clear_caches`.
        bound: Most that is kept, in units of ``weight``.
        weight: Weight of a value; 1 for each without one. A value over the bound is not kept.
    """

    every: "list[Cache[object]]" = []

    def __init__(self, name: str, bound: int, weight: Callable[[V], int] = lambda _: 1) -> None:
        self.name, self.bound, self._weight = name, bound, weight
        self._values: dict[Hashable, V] = {}
        self._lock = RLock()
        Cache.every.append(self)  # type: ignore[arg-type]

    def get(self, key: Hashable) -> V | None:
        """Return the value of a key, ``None`` if there is none."""
        with self._lock:
            if key not in self._values:
                return None
            self._values[key] = found = self._values.pop(key)
            return found

    def put(self, key: Hashable, value: V) -> V:
        """Keep a value, and return it."""
        with self._lock:
            self._values.pop(key, None)
            room = self.bound - self._weight(value)
            if room >= 0:
                held = sum(map(self._weight, self._values.values()))
                while held > room:
                    held -= self._weight(self._values.pop(next(iter(self._values))))
                self._values[key] = value
        return value

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._values.clear()


def cached(bound: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Call the decorated function once for the same arguments, of which ``bound`` are kept."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        cache: Cache[tuple[R]] = Cache(f"{function.__module__}.{function.__qualname__}", bound)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            key = (args, *kwargs.items())
            found = cache.get(key) or cache.put(key, (function(*args, **kwargs),))
            return found[0]

        return call

    return decorate


def clear_caches(name: str = "") -> None:
    """Clear every cache of this process whose name begins with ``name``."""
    for cache in Cache.every:
        if cache.name.startswith(name):
            cache.clear()


def _renew_locks() -> None:
    """Free the locks that threads of the parent may have held when this process was forked."""
    for cache in Cache.every:
        cache._lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
