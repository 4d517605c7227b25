"""All documents of the training data as columns, embedded once before training.

Source: Zhan et al. 2021, Optimizing Dense Retrieval Model Training with Hard Negatives (ADORE).
https://arxiv.org/abs/2104.08051 The index of documents is frozen, so that the query encoder, as it
is at each step, ranks all of them without a search that lags behind. Here one encoder embeds
queries and documents: the positive is encoded live, and only the negatives are frozen. Every step
holds one similarity for each anchor and document.
"""

from typing import Annotated, Any, ClassVar

import torch

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.contrast.world import Stored, World
from nsbench.benchmarks.mining.corpus import Corpus
from nsbench.benchmarks.mining.guides import own_embeddings
from nsbench.benchmarks.mining.settings import AMONG
from nsbench.samplers import Choice


@register("frozen_corpus")
class FrozenCorpusPool:
    """Every document of the corpus as a column, frozen as the encoder starts.

    Args:
        batch: Whether the batch's own columns are candidates too: ``with`` or ``without``.
        among: Which texts: ``documents``, all but those that are anchors only (queries, where there
            are queries); or ``all``.
    """

    batch: Annotated[str, Choice("with", "without")] = "without"
    among: Annotated[str, Choice(*AMONG)] = "documents"
    test_configs: ClassVar = ({"batch": "with", "among": "all"},)

    def open(self, world: World) -> "OpenFrozenCorpus":
        return OpenFrozenCorpus(self, world)


class OpenFrozenCorpus(OpenPool):
    """The documents of one cell, embedded when it is opened, before any step or snapshot."""

    def __init__(self, settings: FrozenCorpusPool, world: World) -> None:
        self.batch_negatives = settings.batch == "with"
        corpus = Corpus(world.data, settings.among)
        texts = torch.from_numpy(corpus.text[corpus.candidates]).to(world.device)
        self.columns = Stored(
            embeddings=own_embeddings(world)[texts],
            texts=texts,
            valid=torch.ones_like(texts, dtype=torch.bool),
        )

    def stored(self) -> Stored | None:
        return self.columns

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing: opening the pool has made it again."""
