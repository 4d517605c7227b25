"""Negatives mined again with the model in training, as a callback of the trainer."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from nsbench.benchmarks.adapters._callbacks import Kept, packed, unpacked
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import hash_weights
from nsbench.benchmarks.encoders.pretrained import sentence_model
from nsbench.benchmarks.mining.dataset import mine_set
from nsbench.benchmarks.mining.dataset.formats import written
from nsbench.benchmarks.mining.dataset.report import report

_log = logging.getLogger("nsbench.adapters")
_STAGES = ("before", "now", "next")


class Remine(Kept):
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
        full = np.all(np.asarray(negatives) >= 0, axis=1)  # (R,)
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
            self._blobs = self.refreshes, {"next": packed(self._next)}
        return {
            "data": self.data.digest,
            "shape": list(self._next.shape),
            "refreshes": self.refreshes,
            "report": self.report,
            "now": None if self._now is self._next else packed(self._now),
            "before": packed(self._before) if self._ahead else None,
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
        read = {n: unpacked(held[n], "<i8", tuple(wanted)) for n in _STAGES if held[n]}
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
