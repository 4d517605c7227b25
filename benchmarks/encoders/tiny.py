"""A randomly initialised BERT of two small layers: a transformer that needs no download.

Source: Devlin et al. 2019, BERT. https://arxiv.org/abs/1810.04805
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from nsbench.benchmarks.encoders import register
from nsbench.benchmarks.encoders._transformer import TransformerEncoder
from nsbench.benchmarks.encoders._vocabulary import word_tokenizer
from nsbench.benchmarks.encoders.transformer import ARITHMETIC, POOLINGS
from nsbench.samplers import at_least, in_range, one_of


@register("tiny")
@dataclass(frozen=True)
class Tiny:
    """A random BERT over the words of the training texts, for tests and dry runs.

    Args:
        layers: Layers, >= 1.
        dimension: Hidden size, a multiple of 4, >= 4.
        pooling: ``mean``, ``cls`` or ``last2_mean``; ``auto`` is mean.
        dropout: Dropout rate left on in every training view that does not set its own, [0, 1).
    """

    layers: int = 2
    dimension: int = 32
    pooling: str = "auto"
    dropout: float = 0.0

    arithmetic: ClassVar[int] = ARITHMETIC

    def __post_init__(self) -> None:
        at_least("tiny", "layers", self.layers, 1)
        at_least("tiny", "dimension", self.dimension, 4)
        one_of("tiny", "pooling", self.pooling, POOLINGS)
        in_range("tiny", "dropout", self.dropout, 0, 1, open_high=True)
        if self.dimension % 4:
            raise ValueError(f"tiny: dimension must be a multiple of 4, got {self.dimension}")

    def check(self) -> None:
        """Nothing can be missing."""

    def fingerprint(self) -> str:
        return "random"

    def build(self, corpus: Sequence[str], seed: int) -> TransformerEncoder:
        from transformers import BertConfig, BertModel

        tokenizer = word_tokenizer(corpus, special_tokens=True)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.dimension,
            num_hidden_layers=self.layers,
            num_attention_heads=4,
            intermediate_size=2 * self.dimension,
            max_position_embeddings=128,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = BertModel(config, add_pooling_layer=False)
        return TransformerEncoder(
            model,
            tokenizer,
            pooling="mean" if self.pooling == "auto" else self.pooling,
            max_length=128,
            dropout=self.dropout,
        )
