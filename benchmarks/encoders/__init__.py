"""Encoders: what turns texts into embeddings, and how it is pooled and cut, one kind a file."""

from collections.abc import Callable
from dataclasses import field
from typing import dataclass_transform

from nsbench.benchmarks.encoders._base import (
    Encoder,
    EncoderSpec,
    TokenTable,
    encode_texts,
    hash_weights,
    load_trained,
    masked_mean,
    token_table,
    tokenize,
    trained_state,
)
from nsbench.samplers import Registry

encoders: Registry[EncoderSpec] = Registry(
    "encoder", "nsbench.benchmarks.encoders", group="nsbench.encoders"
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def register(name: str) -> Callable[[type[EncoderSpec]], type[EncoderSpec]]:
    """Class decorator that claims a name; the class becomes a frozen dataclass."""
    return encoders.component(name)


__all__ = [
    "Encoder",
    "EncoderSpec",
    "TokenTable",
    "encode_texts",
    "encoders",
    "hash_weights",
    "load_trained",
    "masked_mean",
    "register",
    "token_table",
    "tokenize",
    "trained_state",
]
