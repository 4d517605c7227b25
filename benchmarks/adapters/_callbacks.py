"""Callbacks for sentence-transformers: resume, log difficulty, mine negatives again.

Source: Xiong et al. 2021, ANCE, for mining again with the model in training.
https://arxiv.org/abs/2007.00808
"""

import base64
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
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
_KEPT = "nsbench"
_STAGES = ("before", "now", "next")


class _Kept(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """A callback whose state is part of the trainer's checkpoints, as plain data.

    It is an entry of ``stateful_callbacks`` in ``trainer_state.json``, so it moves with the folder.
    """

    name = ""

    def restart(self, args: Any, state: Any) -> None:
        """Prepare for a training that begins, or that goes on from a checkpoint."""

    def kept(self) -> dict[str, Any]:
        """Plain data from which `resume` continues."""
        raise NotImplementedError

    def resume(self, held: dict[str, Any]) -> None:
        """Continue from a `kept`."""
        raise NotImplementedError

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start, or continue with what the checkpoint holds.

        Raises:
            ValueError: If the checkpoint was saved without this callback.
        """
        taken = state.__dict__.setdefault("_nsbench_taken", [])  # no field, so it is never saved
        kind = type(self).__name__
        self.name = f"{kind} {1 + sum(name.startswith(f'{kind} ') for name in taken)}"
        taken.append(self.name)
        self.restart(args, state)
        if not state.global_step:
            return
        held = state.stateful_callbacks.get(_KEPT, {})
        if self.name not in held:
            known = ", ".join(sorted(held)) or "none"
            raise ValueError(
                f"the checkpoint of step {state.global_step} holds no state of {self.name} "
                f"(callbacks it holds: {known}): resume with the callbacks that it was saved with"
            )
        self.resume(held[self.name])

    def keep(self, state: Any) -> None:
        """Put the current state where the next checkpoint finds it."""
        state.stateful_callbacks.setdefault(_KEPT, {})[self.name] = self.kept()


def _packed(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes())).decode()


def _unpacked(text: str, kind: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind).reshape(shape).copy()


class ProgressCallback(_Kept):
    """Tells a loss how far the training is, and keeps its draws and progress in checkpoints.

    Args:
        loss: A `NegativeSamplingLoss`, also one inside MatryoshkaLoss and other wrappers.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def restart(self, args: Any, state: Any) -> None:
        """Tell the loss how long the training is."""
        if not self.loss.steps or self.loss.told:
            self.loss.steps, self.loss.told = int(state.max_steps), True
        self.loss.step = int(state.global_step)
        self.loss.draws.restart()

    def kept(self) -> dict[str, Any]:
        """Draws and learned numbers of the loss; its progress is the trainer's."""
        learned = {name: float(value.detach()) for name, value in self.loss.numbers.values.items()}
        return {"draws": self.loss.draws.state(), "learned": learned}

    def resume(self, held: dict[str, Any]) -> None:
        """Continue from a `kept`."""
        self.loss.draws.load(held["draws"])
        with torch.no_grad():
            for name, value in held["learned"].items():
                self.loss.numbers.values[name].fill_(value)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the loss which optimizer step it is in."""
        self.loss.step = int(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the loss's state for a checkpoint."""
        self.loss.step = int(state.global_step)
        self.keep(state)


class DifficultyCallback(ProgressCallback):
    """Logs how difficult the negatives are, to every tracker of the trainer, and keeps a table.

    What is logged is `LOGGED`; ``<output_dir>/difficulty.parquet`` holds all statistics, in the
    layout of a cell's. Everything that `ProgressCallback` does is done here, too. Of several
    passes in one step, as with MatryoshkaLoss or accumulated gradients, the first is measured.

    Args:
        loss: The `NegativeSamplingLoss` whose choices are measured.
        trainer: Its ``log`` reaches TensorBoard, W&B, trackio or any other tracker it reports to.
        every: Steps between measurements, >= 1.
    """

    def __init__(self, loss: Any, trainer: Any, *, every: int = 50) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every!r}")
        super().__init__(loss)
        self.trainer, self.every = trainer, every
        self.table = DifficultyLog()
        self._table: dict[str, Any] = {}

    def restart(self, args: Any, state: Any) -> None:
        """Begin an empty table."""
        super().restart(args, state)
        self.table, self._table = DifficultyLog(), {}
        self.loss.measure, self.loss.measured = False, {}

    def kept(self) -> dict[str, Any]:
        """Draws and progress, and the table so far."""
        if self._table.get("steps") != self.table.steps:
            rows = self.table.state()
            self._table = {
                "steps": [step for step, _, _ in rows],
                "names": [list(names) for _, names, _ in rows],
                "values": [_packed(values.cpu().numpy()) for _, _, values in rows],
            }
        return super().kept() | {"table": self._table}

    def resume(self, held: dict[str, Any]) -> None:
        """Continue from a `kept`."""
        super().resume(held)
        table = held["table"]
        rows = zip(table["steps"], table["names"], table["values"], strict=True)
        self.table.load(
            [
                (step, tuple(names), torch.from_numpy(_unpacked(text, "<f8", (len(names), -1))))
                for step, names, text in rows
            ]
        )

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a measurement if it is time."""
        super().on_step_begin(args, state, control)
        self.loss.measured = {}
        self.loss.measure = state.global_step % self.every == 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log what was measured."""
        if self.loss.measure and self.loss.measured:
            step = state.global_step - 1
            self.table.add(step, self.loss.measured)
            rows = self.table.table()
            now = rows[rows["step"] == step].set_index("quantity")
            due = control.should_log  # logging clears it, and the trainer's own loss comes later
            self.trainer.log(
                {name: float(now.loc[q, column]) for name, (q, column) in LOGGED.items()}
            )
            control.should_log = due
        self.loss.measure, self.loss.measured = False, {}
        super().on_step_end(args, state, control)

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


class Remine(_Kept):
    """Mines with the model in training every few steps, and supplies the new negatives.

    Give the trainer ``remine.dataset``: its columns ``negative_1 ... negative_n`` are looked up
    when a batch is made. New negatives are supplied from the beginning of the next step on; as one
    batch is made ahead, the first step that sees them is the third after the mining. Checkpoints
    hold the negatives, so that a resumed training continues with them.

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
        self._now = self._next = np.zeros((0, 0), np.int64)  # (R, n) texts supplied, and mined
        self._before, self._since, self._ahead = self._now, 0, False  # supplied before a step
        self._after: Any = None  # supplied from the second batch of a resumed training on
        self._blobs: tuple[int, dict[str, Any]] = (-1, {})
        self.rows = np.zeros(0, np.int64)
        self.mine()
        self._supply(self._next)

    def mine(self) -> None:
        """Mine with the model in its current state; what is found is supplied from the next step.

        Raises:
            ValueError: If a row has too few negatives.
        """
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
        self._take(found.negatives)
        self.report = report(found)
        self.refreshes += 1

    def _take(self, negatives: Any) -> None:
        full = (np.asarray(negatives) >= 0).all(axis=1)
        if not self.refreshes:
            self.rows = np.flatnonzero(full)
            self._say_left_out()
        short = self.rows[~full[self.rows]]
        if len(short):
            raise ValueError(
                f"re-mining needs {self.settings.negatives} negatives for every row, and "
                f"{len(short)} of {len(self.rows)} have fewer now, row {short[0]} for one: "
                "mine fewer, or give more texts"
            )
        self._next = np.asarray(negatives, np.int64)

    def _say_left_out(self) -> None:
        """Warn of rows whose anchor has too few other texts.

        Raises:
            ValueError: If no row is left.
        """
        if not len(self.rows):
            raise ValueError(
                f"re-mining: no row of {self.data.name} has {self.settings.negatives} texts that "
                "may be its negatives: ask for fewer negatives, or give more texts"
            )
        if left_out := self.data.rows - len(self.rows):
            _log.warning(
                "re-mining: %d of %d rows of %s are left out, which have fewer than %d texts that "
                "may be their negatives",
                left_out,
                self.data.rows,
                self.data.name,
                self.settings.negatives,
            )

    def _supply(self, negatives: Any) -> None:
        texts, self._now = self.data.texts, negatives
        self.negatives = {
            (texts[self.data.anchor[row]], texts[self.data.positive[row]]): [
                texts[i] for i in self._now[row]
            ]
            for row in self.rows
        }

    def restart(self, args: Any, state: Any) -> None:
        """Refuse a trainer whose loader cannot see new negatives.

        Raises:
            ValueError: If its loader has worker processes, which hold copies of the negatives.
        """
        if args.dataloader_num_workers:
            raise ValueError(
                "re-mining needs dataloader_num_workers = 0: workers hold copies of the negatives, "
                f"got {args.dataloader_num_workers}"
            )

    def kept(self) -> dict[str, Any]:
        """Negatives supplied and mined, and what they are negatives for."""
        if self._blobs[0] != self.refreshes:
            self._blobs = self.refreshes, {"next": _packed(self._next)}
        return {
            "data": self.data.digest,
            "shape": list(self._next.shape),
            "refreshes": self.refreshes,
            "report": self.report,
            "now": None if self._now is self._next else _packed(self._now),
            "before": _packed(self._before) if self._ahead else None,
        } | self._blobs[1]

    def resume(self, held: dict[str, Any]) -> None:
        """Continue from a `kept`.

        Raises:
            ValueError: If the checkpoint's negatives are for other data or of another number.
        """
        wanted = [self.data.rows, self.settings.negatives]
        if held["data"] != self.data.digest or held["shape"] != wanted:
            raise ValueError(
                f"the checkpoint holds negatives of shape {held['shape']} for data "
                f"{held['data'][:12]}, and this training has {wanted} for {self.data.digest[:12]}: "
                "resume with the same pairs and settings"
            )
        read = {n: _unpacked(held[n], "<i8", tuple(wanted)) for n in _STAGES if held[n]}
        self._next = read["next"]
        now = read.get("now", self._next)
        self._supply(read.get("before", now))
        self._after = now if "before" in read else None
        self.refreshes, self.report = held["refreshes"], held["report"]

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
        if self._after is not None:
            self._supply(self._after)
            self._after = None
        return {"anchor": batch["anchor"], "positive": batch["positive"]} | found

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Supply what was mined after the last step.

        The batch after this one is made already, in a resumed training as in an unbroken one.
        """
        if self._now is not self._next:
            self._before, self._since = self._now, int(state.global_step) + 1
            self._supply(self._next)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mine if it is time, and if there is a step left to use it."""
        if state.global_step % self.every == 0 and state.global_step < state.max_steps:
            self.mine()
        # The first batch of a resumed training was made ahead in an unbroken one: before the
        # negatives of this step were supplied, unless the epoch ends here.
        self._ahead = self._since == state.global_step and state.epoch % 1 != 0
        self.keep(state)
