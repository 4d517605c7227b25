"""Choosing the checkpoint with the best score on development data."""

from collections.abc import Sequence
from typing import Any

import torch

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import (
    Encoder,
    encode_texts,
    hash_weights,
    load_trained,
    trained_state,
)
from nsbench.benchmarks.evaluation.checkpoint import Embeddings, EvaluatedModel, by_role
from nsbench.benchmarks.evaluation.evaluate import evaluate_dev
from nsbench.benchmarks.records.cell import Cell, make


class BestCheckpoint:
    """Scores the encoder on a dev task at intervals and keeps the best weights."""

    def __init__(self, encoder: Encoder, task: Any, every: int) -> None:
        self.encoder, self.task, self.every = encoder, task, every
        self.best = (float("-inf"), -1)
        self.scored = 0
        self._kept: dict[str, torch.Tensor] = {}

    @classmethod
    def of(cls, cell: Cell, encoder: Encoder) -> "BestCheckpoint | None":
        """Return the one that a cell asks for, if any.

        Args:
            cell: Names the dev task: ``own`` for the data set's own dev pairs, or an mteb task.
            encoder: The encoder in training.

        Raises:
            ValueError: If ``own`` is asked for and the data set has no dev pairs.
        """
        task: Any = cell.evaluation.dev
        if not task:
            return None
        if task == "own":
            task = make(datasets, cell.data).dev()
            if task is None:
                raise ValueError(f"{cell.data.name} has no dev pairs")
        return cls(encoder, task, cell.evaluation.dev_every)

    def due(self, step: int, steps: int) -> bool:
        """Return True at every ``every``-th step and at the last of ``steps``."""
        return (step + 1) % self.every == 0 or step + 1 == steps

    def update(self, step: int) -> None:
        """Score the encoder after ``step`` and keep its weights if they are the best so far."""

        def encode(texts: Sequence[str], *, max_length: int | None = None) -> Embeddings:
            return encode_texts(self.encoder, texts, max_length=max_length)

        model = EvaluatedModel(
            name="nsbench/dev",
            revision=hash_weights(self.encoder.state_dict().items())[:40],
            dimension=self.encoder.dimension,
            encode=encode,
            **by_role(encode, self.encoder),
        )
        value = evaluate_dev(model, self.task).value
        self.scored += 1
        if value > self.best[0]:
            self.best = (value, step)
            self._kept = {k: v.detach().clone() for k, v in trained_state(self.encoder).items()}

    def state(self) -> dict[str, Any]:
        """Return everything a resumed cell needs."""
        return {"best": self.best, "scored": self.scored, "kept": self._kept}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self.best, self.scored = state["best"], state["scored"]
        self._kept = dict(state["kept"])

    def restore(self) -> dict[str, float]:
        """Put the best weights back; return what the choice cost and found."""
        if self._kept:
            load_trained(self.encoder, self._kept)
        return {
            "dev_looks": float(self.scored),
            "dev_best": self.best[0],
            "dev_best_step": float(self.best[1]),
        }
