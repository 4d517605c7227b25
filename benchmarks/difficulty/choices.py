"""Choices of a sampler on batches that all cells of a seed share.

Cells of one seed have the same initial weights, batches and views, so what they choose in the
first step is their samplers' answer to one and the same question. The last step's batch is shared
as well, but each cell ranks it by the model that its own sampler made. Nothing is encoded for this:
the batches are those of the training.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

from nsbench.benchmarks.contrast.context import Contrast, Known
from nsbench.benchmarks.difficulty.gradient import Push
from nsbench.benchmarks.difficulty.statistics import flatten
from nsbench.benchmarks.records import CHOICE_COLUMNS
from nsbench.samplers import Objective, Selection, SimilarityContext

ANCHORS = 32
PAIRS = 1 << 14  # a step keeps at most so many, or the pairs of one anchor


class Choices:
    """Keeps the choices of the first and the last step, on the device until they are asked for.

    Args:
        known: Which texts are equal; equal ones are one candidate here.
        steps: Of the training.
    """

    def __init__(self, known: Known, steps: int) -> None:
        self._known = known
        self._due = {0, steps - 1}
        self._kept: list[dict[str, Any]] = []

    def add(
        self,
        step: int,
        contrast: Contrast,
        context: SimilarityContext,
        selection: Selection,
        objective: Objective | None = None,
    ) -> None:
        """Keep what was chosen for the batch's first anchors, where ``step`` is due.

        Args:
            step: The step.
            contrast: Says which texts the columns hold; made columns have none.
            context: What the sampler saw.
            selection: What it chose.
            objective: Whose gradient weighs the choices; without one InfoNCE's.
        """
        if step not in self._due:
            return
        shares = Push.of(context, selection, objective).by_anchor(len(context.positive))
        selection = flatten(selection)
        columns = selection.mask.shape[1]
        anchors = max(1, min(ANCHORS, PAIRS // columns, len(selection.mask)))
        texts = torch.full((columns,), -1, dtype=torch.int64, device=selection.mask.device)
        texts[: len(contrast.column_texts)] = self._known.group[contrast.column_texts]
        self._kept.append(
            {
                "step": step,
                "anchor": self._known.group[contrast.anchor_texts[:anchors]],
                "candidate": texts,
                "mask": selection.mask[:anchors].clone(),
                "weight": shares[:anchors].float(),
                "candidates": context.eligible[:anchors].squeeze(1),
            }
        )

    def table(self) -> pd.DataFrame:
        """One row per anchor and chosen text, with `CHOICE_COLUMNS`.

        ``place`` is the anchor's in the batch; ``anchor`` and ``candidate`` are numbers of texts
        that are the same in all cells of one data set, -1 for candidates that were made; ``weight``
        is the share of the objective's gradient over the chosen, averaged over levels: 1 in sum
        for each anchor, 0 for one without a gradient, columns that hold one text added up;
        ``candidates`` is the number of columns that the anchor could choose from.
        """
        parts = [pd.DataFrame(columns=list(CHOICE_COLUMNS))]
        for kept in self._kept:
            mask = kept["mask"].cpu().numpy()
            place, column = np.nonzero(mask)
            found = pd.DataFrame(
                {
                    "step": kept["step"],
                    "place": place,
                    "anchor": kept["anchor"].cpu().numpy()[place],
                    "candidates": kept["candidates"].cpu().numpy()[place],
                    "candidate": kept["candidate"].cpu().numpy()[column],
                    "weight": kept["weight"].cpu().numpy()[place, column],
                }
            )
            keys = [c for c in found.columns if c != "weight"]
            parts.append(found.groupby(keys, sort=True)["weight"].sum().reset_index())
        kinds = dict.fromkeys(CHOICE_COLUMNS, "int32") | {"weight": "float32"}
        return pd.concat(parts, ignore_index=True)[list(CHOICE_COLUMNS)].astype(kinds)

    def state(self) -> list[dict[str, Any]]:
        """Everything a resumed cell needs, as tensors and numbers."""
        return [dict(kept) for kept in self._kept]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Resume from a `state`."""
        self._kept = [dict(kept) for kept in state]
