"""Objectives that hold another objective: how it is named, made and passed through."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor

from nsbench.samplers import Objective, Selection, SimilarityContext, parse_choice
from nsbench.samplers._cache import cached

T = TypeVar("T", bound="Wraps")


def inner_objective(owner: str, text: str) -> Objective:
    """Construct the objective that ``text``, ``name`` or ``name[parameter=value,...]``, names.

    Raises:
        ValueError: If it cannot be read or made; the message names owner and parameter.
    """
    if not isinstance(text, str):
        raise ValueError(f"{owner}: inner must name an objective, got {text!r}")
    return _made(owner, text)


@cached(256)  # objectives are frozen and keep no state, so one of a kind is enough
def _made(owner: str, text: str) -> Objective:
    from nsbench.benchmarks.objectives import objectives

    try:
        name, given = parse_choice(text)
        made = objectives.make(name, **given)
        if getattr(made, "guide", ""):
            raise ValueError(
                f"{text!r} names a guide; only an objective that is not inside another can"
            )
        return made
    except (ValueError, TypeError) as error:
        raise ValueError(f"{owner}: inner: {error}") from None


class Wraps:
    """An objective with a parameter ``inner``; says of itself what the inner one says."""

    inner: str

    @property
    def wrapped(self) -> Any:
        """The inner objective, with its learned numbers where they were bound."""
        bound = vars(self).get("_bound")
        return bound or inner_objective(type(self).__name__.lower(), self.inner)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """As the inner objective."""
        out: Tensor = self.wrapped(similarity, context, selection)
        return out

    @property
    def views(self) -> str:
        """As the inner objective."""
        return str(getattr(self.wrapped, "views", "one"))

    @property
    def balanced(self) -> bool:
        """As the inner objective."""
        return bool(getattr(self.wrapped, "balanced", False))

    @property
    def needs(self) -> frozenset[str]:
        """As the inner objective."""
        return frozenset(getattr(self.wrapped, "needs", ()))

    @property
    def temperature(self) -> float | Tensor:
        """As the inner objective, 0-dim where it is learned; absent where it has none."""
        value: float | Tensor = self.wrapped.temperature
        return value

    @property
    def diagnostics(self) -> Callable[..., dict[str, Tensor]]:
        """As the inner objective; absent where it has none."""
        out: Callable[..., dict[str, Tensor]] = self.wrapped.diagnostics
        return out

    @property
    def learned(self) -> Mapping[str, float]:
        """As the inner objective: numbers that the optimizer moves, and where they start."""
        return dict(getattr(self.wrapped, "learned", {}))

    def bind(self: T, values: Mapping[str, Tensor]) -> T:
        """A copy whose inner objective has these learned numbers."""
        twin = copy.copy(self)
        object.__setattr__(twin, "_bound", self.wrapped.bind(values))
        return twin

    def check_dimension(self, dimension: int) -> None:
        """As the inner objective."""
        check = getattr(self.wrapped, "check_dimension", None)
        if check is not None:
            check(dimension)
