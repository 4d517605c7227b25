"""Scores of a checkpoint as its cell asks for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import Encoder, encode_texts
from nsbench.benchmarks.encoders.products import autocast
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel, Lexical, by_role
from nsbench.benchmarks.evaluation.evaluate import EngineChoice, evaluate
from nsbench.benchmarks.evaluation.evaluate import Evaluation as Evaluated
from nsbench.benchmarks.evaluation.first_dimensions import (
    dimension_scores,
    remembered,
)
from nsbench.benchmarks.evaluation.frequent_tokens import frequent_token_scores
from nsbench.benchmarks.evaluation.mteb.tasks import scored as scored_tasks
from nsbench.benchmarks.mining.bm25 import Bm25
from nsbench.benchmarks.records import Score
from nsbench.benchmarks.records.cell import Cell, make
from nsbench.samplers import samplers


def score(cell: Cell, encoder: Encoder, weights: str, *, results: Path | None = None) -> Evaluated:
    """Score a checkpoint: its data's own tests, mteb tasks, geometry."""
    model = evaluated_model(cell, encoder, weights)
    if cell.evaluation.dimensions:
        model = remembered(model)
    own = make(datasets, cell.data).tests() if "own" in cell.evaluation.tasks else []
    tasks = scored_tasks(cell.evaluation.tasks, cell.evaluation.absent)
    engine = cast(EngineChoice, cell.evaluation.engine)
    found = evaluate(model, tasks, own, engine=engine, results=results if tasks else None)
    if cell.evaluation.dimensions:

        def shorter(cut: EvaluatedModel) -> list[Score]:
            return evaluate(cut, tasks, own, engine=engine, geometry=False).scores

        found.scores.extend(dimension_scores(model, cell.evaluation.dimensions, shorter))
    if cell.evaluation.frequent_tokens and tasks:
        found.scores.extend(
            frequent_token_scores(
                encoder,
                lambda ids: evaluated_model(cell, encoder, weights, unpooled=ids),
                task=tasks[0],
                numbers=cell.evaluation.frequent_tokens,
            )
        )
    return found


def evaluated_model(
    cell: Cell, encoder: Encoder, weights: str, *, unpooled: Tensor | None = None
) -> EvaluatedModel:
    """Return a checkpoint as evaluation sees it: name, revision and a function of texts."""

    def encode(
        texts: Sequence[str], *, max_length: int | None = None
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        with autocast(cell.evaluation.precision, next(encoder.parameters()).device):
            return encode_texts(
                encoder,
                texts,
                max_length=max_length,
                pooling=cell.evaluation.pooling,
                unpooled=unpooled,
            )

    name = cell.sampler.name  # a model from elsewhere is no sampler
    ranks = samplers.entry(name).attribute("ranks", "") if name in samplers else ""

    def index(documents: Sequence[str]) -> Lexical:
        return Bm25(documents, **cell.sampler.params).search

    return EvaluatedModel(
        name=f"nsbench/{cell.key}",
        revision=weights[:40],
        dimension=encoder.dimension,
        encode=encode,
        lexical=index if ranks == "bm25" else None,
        **by_role(encode, encoder),
    )
