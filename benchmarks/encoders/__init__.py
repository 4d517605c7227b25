"""Encoders: what turns texts into embeddings, and how it is pooled and cut, one kind a file."""

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
register = encoders.register

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
