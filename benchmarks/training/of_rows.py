"""Extras of the anchors' rows: the data's grades, and numbers that an objective keeps."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.data import TrainingData
from nsbench.samplers import Objective, Selection, SimilarityContext

_SIDES = 4  # of a row: its two views as anchors, and of joint regimes both texts


class OfRows:
    """Extras ``grade`` and ``memory`` of one training, for an objective that needs them.

    An objective that keeps a number names ``memory`` in ``needs``, has ``forgotten``, the number of
    a row that was not visited yet, and ``remember(similarity, context, selection)``, which gives
    ``(A,)`` new ones without waiting for the device. Either view of a row has its own.

    Raises:
        ValueError: If it needs grades that the data lack.
    """

    def __init__(self, objective: Objective, data: TrainingData, device: torch.device) -> None:
        self.objective = objective
        needs: frozenset[str] = getattr(objective, "needs", frozenset())
        self.grade: Tensor | None = None  # (R,)
        self.memory: Tensor | None = None  # (R * sides,)
        if "grade" in needs:
            if data.grade is None:
                raise ValueError(f"{objective!r} needs graded pairs, and {data.name} has none")
            self.grade = torch.from_numpy(data.grade.astype(np.float32)).to(device)
        if "memory" in needs:
            keeps: Any = objective
            start = float(keeps.forgotten)
            self.memory = torch.full((data.rows * _SIDES,), start, device=device)

    def read(self, rows: Tensor, anchor_rows: Tensor) -> dict[str, Tensor]:
        """Those extras that are needed, ``(A,)`` each.

        Args:
            rows: ``(B,)`` rows of the data.
            anchor_rows: ``(A,)`` row of the batch of each anchor, view by view.
        """
        out = {}
        if self.grade is not None:
            out["grade"] = self.grade[rows[anchor_rows % len(rows)]]
        if self.memory is not None:
            out["memory"] = self.memory[_places(rows, anchor_rows)]
        return out

    def write(
        self, rows: Tensor, anchor_rows: Tensor, context: SimilarityContext, selection: Selection
    ) -> None:
        """Take in what the objective remembers of a step; of a levelled choice, level by level."""
        if self.memory is None:
            return
        for part in selection.parts():
            keeps: Any = self.objective
            new = keeps.remember(context.similarity, context, part)
            self.memory.index_copy_(0, _places(rows, anchor_rows), new.detach().float())

    def state(self) -> Tensor | None:
        """Return everything a resumed cell needs."""
        return self.memory

    def load(self, state: Tensor | None) -> None:
        """Resume from a `state`."""
        if self.memory is not None and state is not None:
            self.memory.copy_(state)


def _places(rows: Tensor, anchor_rows: Tensor) -> Tensor:
    """``(A,)`` place of each anchor's row and view in the memory."""
    view = torch.arange(len(anchor_rows), device=rows.device) // len(rows)
    return rows[anchor_rows % len(rows)] * _SIDES + view % _SIDES
