"""Samplers that hold another sampler, by name."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from nsbench.samplers._cache import cached
from nsbench.samplers._registry import parse_choice
from nsbench.samplers._types import Pairing, Sampler, Selection, SimilarityContext


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
    from nsbench.samplers import make

    try:
        name, given = parse_choice(text)
        return make(name, **given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{owner}: {parameter}: {error}") from None


def pairing_of(sampler: Sampler, axis: str, default: str) -> Pairing:
    """The pairing of a sampler on an axis, or the default."""
    value = getattr(sampler, axis, default)
    assert isinstance(value, str | tuple)
    return value


class ChoosesThen:
    """Base of samplers that make candidates, among which, and the real ones, ``then`` chooses."""

    then: str
    reads: ClassVar[frozenset[str]]
    """Extras that making the candidates needs."""

    @abstractmethod
    def made(self, context: SimilarityContext) -> Tensor:
        """``(B, S, d)`` new candidates of every anchor."""

    @property
    def _then(self) -> Any:
        return inner_sampler(type(self).__name__.lower(), "then", self.then)

    @property
    def needs(self) -> frozenset[str]:
        """Its own extras, and those of the choosing sampler."""
        return self.reads | frozenset(getattr(self._then, "needs", ()))

    @property
    def may_empty(self) -> bool:
        """As the choosing sampler."""
        return bool(getattr(self._then, "may_empty", False))

    @property
    def requires_given(self) -> bool:
        """As the choosing sampler."""
        return bool(getattr(self._then, "requires_given", False))

    def synthesize(self, context: SimilarityContext) -> Tensor:
        """``(B, S, d)`` new candidates, then those that the choosing sampler makes."""
        own, then = self.made(context), self._then
        if not hasattr(then, "synthesize"):
            return own
        return torch.cat([own, then.synthesize(context)], dim=1)

    def __call__(self, context: SimilarityContext) -> Selection:
        chosen: Selection = self._then(context)
        return chosen
