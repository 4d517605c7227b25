"""Samplers that hold another sampler, by name."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from nsbench.samplers._cache import cached
from nsbench.samplers._types import Sampler, Selection, SimilarityContext


def inner_sampler(owner: str, parameter: str, text: str) -> Sampler:
    """Construct the sampler that ``text``, ``name`` or ``name[parameter=value,...]``, names.

    Raises:
        ValueError: If it cannot be read or made; the message names owner and parameter.
    """
    if not isinstance(text, str):
        raise ValueError(f"{owner}: {parameter} must name a sampler, got {text!r}")
    return _made(owner, parameter, text)


@cached(256)  # samplers are frozen and keep no state, so one of a kind is enough
def _made(owner: str, parameter: str, text: str) -> Sampler:
    from nsbench.samplers import samplers

    try:
        return samplers.read(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{owner}: {parameter}: {error}") from None


class Follows:
    """Base of components that say what the one they hold says, wherever they say nothing else."""

    called: ClassVar[str]
    follows: ClassVar[frozenset[str]] = frozenset(
        ("objective", "pool", "requires_pool", "requires_given")
    ) | {"needs", "stochastic", "may_empty", "synthesize"}

    @property
    @abstractmethod
    def wrapped(self) -> Any:
        """The one that it holds."""

    def __getattr__(self, name: str) -> Any:
        if name in self.follows:
            return getattr(self.wrapped, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class ChoosesThen(Follows):
    """Base of samplers that make candidates, among which, and the real ones, ``then`` chooses."""

    then: str
    reads: ClassVar[frozenset[str]]
    """Extras that making the candidates needs."""
    follows: ClassVar[frozenset[str]] = frozenset({"stochastic", "may_empty", "requires_given"})

    @abstractmethod
    def made(self, context: SimilarityContext) -> Tensor:
        """``(B, S, d)`` new candidates of every anchor."""

    @property
    def wrapped(self) -> Any:
        """The choosing sampler."""
        return inner_sampler(self.called, "then", self.then)

    @property
    def needs(self) -> frozenset[str]:
        """Its own extras, and those of the choosing sampler."""
        return self.reads | frozenset(getattr(self.wrapped, "needs", ()))

    def synthesize(self, context: SimilarityContext) -> Tensor:
        """``(B, S, d)`` new candidates, then those that the choosing sampler makes."""
        own, then = self.made(context), self.wrapped
        if not hasattr(then, "synthesize"):
            return own
        return torch.cat([own, then.synthesize(context)], dim=1)

    def __call__(self, context: SimilarityContext) -> Selection:
        chosen: Selection = self.wrapped(context)
        return chosen
