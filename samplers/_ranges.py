"""Legal values of parameters: functions that check one, and marks that declare them in a field.

    near: Annotated[float, Interval("(0, 2)")] = 0.5
    far: Annotated[float, Interval("(near, 2]")] = 1.4  # a bound may be another parameter
    k: Annotated[int, Interval("[1, inf)")] = 16  # whole numbers, as the type says
    keep: Annotated[str, Choice("all", "own")] = "all"
    then: Annotated[str, inner_sampler] = "in_batch"  # a function of owner, parameter and value

A component is checked when it is made, before its own ``__post_init__``.
"""

import difflib
import math
import re
import typing
from collections.abc import Iterable
from dataclasses import fields
from functools import wraps
from typing import Any

from nsbench.samplers._cache import cached


def suggest(value: str, legal: Iterable[str]) -> str:
    """``Did you mean 'x'? Known: ...``, made from the legal names."""
    names = sorted(legal)
    close = difflib.get_close_matches(value.lower(), [n.lower() for n in names], n=1, cutoff=0.6)
    hint = ""
    if close:
        nearest = next(n for n in names if n.lower() == close[0])
        hint = f"Did you mean {nearest!r}? "
    return f"{hint}Known: {', '.join(names)}." if names else "None is known."


def one_of(owner: str, parameter: str, value: str, legal: Iterable[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``legal``."""
    legal = tuple(legal)
    if value not in legal:
        raise ValueError(f"{owner}: {parameter} is {value!r}. {suggest(str(value), legal)}")


def in_range(
    owner: str,
    parameter: str,
    value: float,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raise ``ValueError`` unless ``value`` lies in the interval, naming value and interval."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    good = good and (low < value if open_low else low <= value)
    good = good and (value < high if open_high else value <= high)
    if not good:
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        raise ValueError(
            f"{owner}: {parameter} must be in {left}{low:g}, {high:g}{right}, got {value!r}"
        )


def is_text(owner: str, parameter: str, value: str) -> None:
    """Raise ``ValueError`` unless ``value`` is a string."""
    if not isinstance(value, str):
        raise ValueError(f"{owner}: {parameter} must be a string, got {value!r}")


def at_least(owner: str, parameter: str, value: int, low: int) -> None:
    """Raise ``ValueError`` unless ``value`` is a whole number of at least ``low``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{owner}: {parameter} must be a whole number >= {low}, got {value!r}")


class Choice:
    """Mark of a parameter that is one of a few values.

    Args:
        legal: The values.
    """

    def __init__(self, *legal: str) -> None:
        self.legal = legal

    def check(self, owner: str, parameter: str, component: object, kind: Any) -> None:
        """Raise ``ValueError`` unless the component's value is one of them."""
        one_of(owner, parameter, getattr(component, parameter), self.legal)


class Interval:
    """Mark of a parameter whose number, or each number of a list, is in an interval.

    Args:
        text: The interval, such as ``(0, 2]``; a bound is a number or another parameter's name.

    Raises:
        ValueError: If the text cannot be read.
    """

    def __init__(self, text: str) -> None:
        found = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", text)
        if not found:
            raise ValueError(f"cannot read the interval {text!r}: write it like (0, 2]")
        left, self.low, self.high, right = found.groups()
        self.ends = {"open_low": left == "(", "open_high": right == ")"}

    def check(self, owner: str, parameter: str, component: object, kind: Any) -> None:
        """Raise ``ValueError`` unless the value of the component, of a type, lies in it."""
        value = getattr(component, parameter)
        low, high = (float(getattr(component, b, b)) for b in (self.low, self.high))
        whole = int in (kind, *typing.get_args(kind))
        for number in value if isinstance(value, tuple) else (value,):
            if whole:
                at_least(owner, parameter, number, int(low))
            if not whole or high < math.inf:
                in_range(owner, parameter, number, low, high, **self.ends)


@cached(1024)
def _declared(cls: type) -> tuple[tuple[str, Any, tuple[Any, ...]], ...]:
    """Name, type and marks of every parameter of a dataclass."""
    hints = typing.get_type_hints(cls, include_extras=True)
    out = []
    for item in fields(cls):
        hint = hints[item.name]
        marks = tuple(getattr(hint, "__metadata__", ()))
        out.append((item.name, hint.__origin__ if marks else hint, marks))
    return tuple(out)


def _check_declared(component: object, owner: str) -> None:
    for name, kind, marks in _declared(type(component)):
        value = getattr(component, name)
        if kind is str and not marks:
            is_text(owner, name, value)
        if kind is bool and not isinstance(value, bool):
            word = str(value).title()
            hint = f"; in name[parameter=value], write {word}" if word in ("True", "False") else ""
            raise ValueError(f"{owner}: {name} must be true or false, got {value!r}{hint}")
        if typing.get_origin(kind) is tuple:
            if isinstance(value, list):  # as a configuration file has it
                object.__setattr__(component, name, tuple(value))
            elif not isinstance(value, tuple):
                raise ValueError(f"{owner}: {name} must be a list, got {value!r}")
        for mark in marks:
            if isinstance(mark, Choice | Interval):
                mark.check(owner, name, component, kind)
            elif callable(mark):
                mark(owner, name, value)


def check_when_made(cls: Any, owner: str) -> None:
    """Have a dataclass check its declared parameters whenever one is made.

    Args:
        cls: The class.
        owner: Its name in messages; the class gets it as ``called``.
    """
    cls.called = owner
    method = "__post_init__" if hasattr(cls, "__post_init__") else "__init__"
    own = getattr(cls, method)

    @wraps(own)
    def checked(self: object, *args: Any, **kwargs: Any) -> None:
        if method == "__post_init__":
            _check_declared(self, owner)
        own(self, *args, **kwargs)
        if method == "__init__":
            _check_declared(self, owner)

    setattr(cls, method, checked)
