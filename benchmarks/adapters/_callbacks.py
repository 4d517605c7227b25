"""Callbacks for sentence-transformers: resume, log difficulty, mine negatives again.

Source: Xiong et al. 2021, ANCE, for mining again with the model in training.
https://arxiv.org/abs/2007.00808
"""

import base64
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import TrainerCallback

from nsbench.benchmarks.difficulty.statistics import DifficultyLog
from nsbench.benchmarks.files import write_atomically

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


class Kept(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
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


def packed(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values).tobytes())).decode()


def unpacked(text: str, kind: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind).reshape(shape).copy()


class ProgressCallback(Kept):
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
                "values": [packed(values.cpu().numpy()) for _, _, values in rows],
            }
        return super().kept() | {"table": self._table}

    def resume(self, held: dict[str, Any]) -> None:
        """Continue from a `kept`."""
        super().resume(held)
        table = held["table"]
        rows = zip(table["steps"], table["names"], table["values"], strict=True)
        self.table.load(
            [
                (step, tuple(names), torch.from_numpy(unpacked(text, "<f8", (len(names), -1))))
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
