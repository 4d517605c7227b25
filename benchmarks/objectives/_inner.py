"""Objectives that hold another objective: how it is named, made and passed through."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from nsbench.samplers import Objective, Selection, SimilarityContext
from nsbench.samplers._cache import cached
from nsbench.samplers._inner import Follows

T = TypeVar("T", bound="Wraps")


def inner_objective(owner: str, parameter: str, text: str) -> Objective:
    """Construct the objective that ``text``, ``name`` or ``name[parameter=value,...]``, names.

    Raises:
        ValueError: If it cannot be read or made; the message names owner and parameter.
    """
    if not isinstance(text, str):
        raise ValueError(f"{owner}: {parameter} must name an objective, got {text!r}")
    return _made(owner, parameter, text)


@cached(256)  # objectives are frozen and keep no state, so one of a kind is enough
def _made(owner: str, parameter: str, text: str) -> Objective:
    from nsbench.benchmarks.objectives import objectives

    try:
        made = objectives.read(text)
        if getattr(made, "guide", ""):
            raise ValueError(
                f"{text!r} names a guide; only an objective that is not inside another can"
            )
        return made
    except (ValueError, TypeError) as error:
        raise ValueError(f"{owner}: {parameter}: {error}") from None


class Wraps(Follows):
    """An objective with a parameter ``inner``; says of itself what the inner one says."""

    inner: str
    follows: ClassVar[frozenset[str]] = frozenset(
        {"views", "balanced", "needs", "temperature", "diagnostics"}
    )

    @property
    def wrapped(self) -> Any:
        """The inner objective, with its learned numbers where they were bound."""
        return vars(self).get("_bound") or inner_objective(self.called, "inner", self.inner)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """As the inner objective."""
        out: Tensor = self.wrapped(similarity, context, selection)
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
