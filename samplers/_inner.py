"""Samplers that hold another sampler: how it is named, made and passed through."""

from functools import lru_cache

from nsbench.samplers._registry import parse_choice
from nsbench.samplers._types import Pairing, Sampler


@lru_cache(maxsize=256)  # samplers are frozen and keep no state, so one of a kind is enough
def inner_sampler(owner: str, parameter: str, text: str) -> Sampler:
    """Construct the sampler that ``text``, ``name`` or ``name[parameter=value,...]``, names.

    Raises:
        ValueError: If it cannot be read or made; the message names owner and parameter.
    """
    from nsbench.samplers import make

    if not isinstance(text, str):
        raise ValueError(f"{owner}: {parameter} must name a sampler, got {text!r}")
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
