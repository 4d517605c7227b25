"""Callbacks for sentence-transformers: log difficulty, mine negatives again.

Source: Xiong et al. 2021, ANCE, for mining again with the model in training.
https://arxiv.org/abs/2007.00808
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import TrainerCallback

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.difficulty.statistics import DifficultyLog
from nsbench.benchmarks.files import write_atomically

_log = logging.getLogger("nsbench.adapters")

LOGGED = {
    "neg/pos_sim_mean": ("positive_similarity", "mean"),
    "neg/neg_sim_mean": ("chosen_similarity", "mean"),
    "neg/neg_sim_p95": ("chosen_similarity", "q95"),
    "neg/percentile_mean": ("chosen_percentile", "mean"),
    "neg/margin_mean": ("margin", "mean"),
    "neg/frac_above_pos": ("violation", "mean"),
    "neg/effective": ("effective_negatives", "mean"),
    "neg/chosen": ("chosen_count", "mean"),
    "neg/masked": ("masked_count", "mean"),
    "neg/empty_rows": ("empty_rows", "mean"),
}
"""Logged names, with quantity and statistic."""


class DifficultyCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Logs how difficult the negatives are, to every tracker of the trainer, and keeps a table.

    What is logged is `LOGGED`; ``<output_dir>/difficulty.parquet`` holds all statistics, in the
    layout of a cell's.

    Args:
        loss: The `NegativeSamplingLoss` whose choices are measured.
        trainer: Its ``log`` reaches TensorBoard, W&B, trackio or any other tracker it reports to.
        every: Steps between measurements, >= 1.
    """

    def __init__(self, loss: Any, trainer: Any, *, every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every!r}")
        self.loss, self.trainer, self.every = loss, trainer, every
        self.table = DifficultyLog()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the loss how long the training is, for curricula."""
        self.loss.steps = self.loss.steps or int(state.max_steps) * args.gradient_accumulation_steps

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a measurement if it is time."""
        self.loss.measure = state.global_step % self.every == 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log what was measured."""
        if not (self.loss.measure and self.loss.measured):
            return
        step = state.global_step - 1
        self.table.add(step, self.loss.measured)
        rows = self.table.table()
        now = rows[rows["step"] == step].set_index("quantity")
        due = control.should_log  # logging clears it, and the trainer's own loss is still to come
        self.trainer.log({name: float(now.loc[q, column]) for name, (q, column) in LOGGED.items()})
        control.should_log = due
        self.loss.measure = False

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the table."""
        if len(self.difficulty):
            folder = Path(args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "difficulty.parquet", self.difficulty.to_parquet(index=False))

    @property
    def difficulty(self) -> pd.DataFrame:
        """All statistics so far: step, quantity, mean, std, quantiles, count."""
        return self.table.table() if self.table.steps else pd.DataFrame()


class Remine(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Mines with the model in training every few steps, and supplies the new negatives.

    Give the trainer ``remine.dataset``: its columns ``negative_1 ... negative_n`` are looked up
    when a batch is made. Data-loader workers hold their own copies: leave
    ``dataloader_num_workers`` at 0. One batch is made ahead, so new negatives come a step late.

    Args:
        model: The `SentenceTransformer` in training.
        data: Pairs, see `nsbench.benchmarks.data`.
        settings: How to mine; its policy must fill every row (``pad_random``) or ``error``.
        every: Steps between two minings, >= 1.

    Attributes:
        rows: ``(n,)`` rows of the data that have all of their negatives. Others, whose anchor has
            too few other texts, are left out of the data set, logged, and counted in the report.
        report: The report of the last mining, see `mining.dataset.report`.

    Raises:
        ValueError: If a setting is not legal, or no row can have so many negatives.
    """

    def __init__(self, model: Any, data: TrainingData, settings: Any, *, every: int) -> None:
        if settings.shortage not in ("pad_random", "error"):
            raise ValueError(
                f"re-mining needs full rows: shortage is {settings.shortage!r}, choose pad_random "
                "or error"
            )
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every!r}")
        self.model, self.data, self.settings, self.every = model, data, settings, every
        self.refreshes = 0
        self.report: dict[str, Any] = {}
        self.negatives: dict[tuple[str, str], list[str]] = {}
        self.rows = np.zeros(0, np.int64)
        self.mine()

    def mine(self) -> None:
        """Mine with the model in its current state."""
        from nsbench.benchmarks.encoders import hash_weights
        from nsbench.benchmarks.encoders.pretrained import sentence_model
        from nsbench.benchmarks.mining.dataset import mine_set
        from nsbench.benchmarks.mining.dataset.formats import written
        from nsbench.benchmarks.mining.dataset.report import report

        was_training = self.model.training
        found = mine_set(
            self.data,
            self.settings,
            model=sentence_model(
                self.model, "local/training", hash_weights(self.model.state_dict().items())
            ),
        )
        self.model.train(was_training)
        found = written(found, "n-tuple")
        self.rows = found.kept.nonzero()[0]
        left_out = self.data.rows - len(self.rows)
        if left_out == self.data.rows:
            raise ValueError(
                f"re-mining: no row of {self.data.name} has {self.settings.negatives} texts that "
                "may be its negatives: ask for fewer negatives, or give more texts"
            )
        if left_out and not self.refreshes:
            _log.warning(
                "re-mining: %d of %d rows of %s are left out, which have fewer than %d texts that "
                "may be their negatives",
                left_out,
                self.data.rows,
                self.data.name,
                self.settings.negatives,
            )
        texts = self.data.texts
        self.negatives = {
            (texts[self.data.anchor[row]], texts[self.data.positive[row]]): [
                texts[i] for i in found.negatives[row]
            ]
            for row in self.rows
        }
        self.report = report(found)
        self.refreshes += 1

    @property
    def dataset(self) -> Any:
        """A `datasets.Dataset` whose negatives are those of the last mining."""
        from datasets import Dataset

        texts, wanted = self.data.texts, self.settings.negatives
        names = [f"negative_{i}" for i in range(1, wanted + 1)]
        columns: dict[str, list[str]] = {
            "anchor": [texts[i] for i in self.data.anchor[self.rows]],
            "positive": [texts[i] for i in self.data.positive[self.rows]],
        }
        return Dataset.from_dict(
            columns | {n: [""] * len(self.rows) for n in names}
        ).with_transform(self._filled)

    def _filled(self, batch: Mapping[str, list[str]]) -> dict[str, list[str]]:
        rows = [
            self.negatives[pair] for pair in zip(batch["anchor"], batch["positive"], strict=True)
        ]
        found = {
            f"negative_{i}": [row[i - 1] for row in rows]
            for i in range(1, self.settings.negatives + 1)
        }
        return {"anchor": batch["anchor"], "positive": batch["positive"]} | found

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mine if it is time, and if there is a step left to use it."""
        if state.global_step % self.every == 0 and state.global_step < state.max_steps:
            self.mine()
