"""A randomly initialised BERT of two small layers: a transformer that needs no download.

Source: Devlin et al. 2019, BERT. https://arxiv.org/abs/1810.04805
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch

from nsbench.benchmarks.encoders import register
from nsbench.benchmarks.encoders._transformer import TransformerEncoder
from nsbench.benchmarks.encoders._vocabulary import word_tokenizer
from nsbench.benchmarks.encoders.transformer import ARITHMETIC, POOLINGS
from nsbench.samplers import Choice, Interval


@register("tiny")
class Tiny:
    """A random BERT over the words of the training texts, for tests and dry runs.

    Args:
        layers: Layers, >= 1.
        dimension: Hidden size, a multiple of 4, >= 4.
        pooling: ``mean``, ``cls`` or ``last2_mean``; ``auto`` is mean.
        dropout: Dropout rate left on in every training view that does not set its own, [0, 1).
    """

    layers: Annotated[int, Interval("[1, inf)")] = 2
    dimension: Annotated[int, Interval("[4, inf)")] = 32
    pooling: Annotated[str, Choice(*POOLINGS)] = "auto"
    dropout: Annotated[float, Interval("[0, 1)")] = 0.0

    arithmetic: ClassVar[int] = ARITHMETIC

    def __post_init__(self) -> None:
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
