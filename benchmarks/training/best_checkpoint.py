"""Choosing the checkpoint with the best score on development data."""

from typing import Any

import torch

from nsbench.benchmarks.data import DataSet
from nsbench.benchmarks.encoders import Encoder, encode_texts, hash_weights
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import evaluate_dev
from nsbench.benchmarks.records.cell import Cell


class BestCheckpoint:
    """Looks at the dev task every so often and keeps the best weights.

    Args:
        encoder: The encoder in training.
        cell: Names the dev task: ``own`` for the data set's own dev pairs, or an mteb task.
        dataset: The training data set.

    Raises:
        ValueError: If ``own`` is asked for and the data set has no dev pairs.
    """

    def __init__(self, encoder: Encoder, cell: Cell, dataset: DataSet) -> None:
        self.encoder = encoder
        self.every = cell.evaluation.dev_every
        self.task: Any = cell.evaluation.dev
        if self.task == "own":
            self.task = dataset.dev()
            if self.task is None:
                raise ValueError(f"{cell.data.name} has no dev pairs of its own")
        self.best = (float("-inf"), -1)
        self.looks = 0
        self._kept: dict[str, torch.Tensor] = {}

    def look(self, step: int, steps: int) -> None:
        """Score the encoder after ``step`` if it is time, and keep it if it is the best so far."""
        if (step + 1) % self.every and step + 1 != steps:
            return
        model = EvaluatedModel(
            name="nsbench/dev",
            revision=hash_weights(self.encoder.state_dict().items())[:40],
            dimension=self.encoder.dimension,
            encode=lambda texts: encode_texts(self.encoder, texts),
        )
        value = evaluate_dev(model, self.task).value
        self.looks += 1
        if value > self.best[0]:
            self.best = (value, step)
            self._kept = {k: v.detach().clone() for k, v in self.encoder.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """Everything a resumed cell needs."""
        return {"best": self.best, "looks": self.looks, "kept": self._kept}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.best, self.looks = state["best"], state["looks"]
        self._kept = dict(state["kept"])

    def restore(self) -> dict[str, float]:
        """Put the best weights back; returns what the choice cost and found."""
        if self._kept:
            self.encoder.load_state_dict(self._kept)
        return {
            "dev_looks": float(self.looks),
            "dev_best": self.best[0],
            "dev_best_step": float(self.best[1]),
        }
