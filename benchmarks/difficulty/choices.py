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
from torch import Tensor

from nsbench.benchmarks.contrast.context import Contrast, Known
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.difficulty.gradient import Push
from nsbench.benchmarks.difficulty.statistics import flatten
from nsbench.benchmarks.records import CHOICE_COLUMNS, SEEN_COLUMNS, TEXT_COLUMNS
from nsbench.samplers import Objective, Selection, SimilarityContext

ANCHORS = 32
PAIRS = 1 << 14  # a step keeps at most so many, or the pairs of one anchor
LONGEST = 400
"""Characters of a text that are kept."""
_JOINED = {"weight": "sum", "similarity": "max", "rank": "min"}  # of columns that hold one text


class Choices:
    """Keeps the choices of the first and the last step, on the device until they are asked for."""

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
                "positive": self._known.group[contrast.positive_texts[:anchors]],
                "positive_similarity": context.positive_similarity[:anchors].float(),
                "similarity": context.similarity[:anchors].float(),
                "rank": context.ranks()[:anchors],
                "same_meaning": self._same_meaning(contrast, anchors, columns),
                "above_in_guide": _above_in_guide(context, anchors),
            }
        )

    def _same_meaning(self, contrast: Contrast, anchors: int, columns: int) -> Tensor:
        """``(A, N)`` 1 where anchor and candidate are known to mean the same, -1 if unknown."""
        out = torch.full((anchors, columns), -1, dtype=torch.int8, device=contrast.valid.device)
        same = self._known.truth(contrast.anchor_texts[:anchors], contrast.column_texts)
        if same is not None:
            out[:, : same.shape[1]] = same.to(torch.int8)
        return out

    def table(self) -> pd.DataFrame:
        """One row per anchor and chosen text, with `CHOICE_COLUMNS`.

        ``place`` is the anchor's in the batch; ``anchor`` and ``candidate`` are numbers of texts
        that are the same in all cells of one data set, -1 for candidates that were made; ``weight``
        is the share of the objective's gradient over the chosen, averaged over levels: 1 in sum
        for each anchor, 0 for one without a gradient, columns that hold one text added up;
        ``candidates`` is the number of columns that the anchor could choose from. Further columns:
        similarities are cosines, ``rank`` 0 is the hardest candidate, ``same_meaning`` is 1 where
        labels or the planted truth say so, and ``above_in_guide`` is 1 where the guide holds the
        candidate for closer than the positive; both are -1 where nothing is known.
        """
        columns = [*CHOICE_COLUMNS, *SEEN_COLUMNS]
        parts = [pd.DataFrame(columns=columns)]
        for kept in self._kept:
            mask = kept["mask"].cpu().numpy()
            place, column = np.nonzero(mask)
            found = pd.DataFrame({"step": kept["step"], "place": place})
            for name in ("anchor", "candidates", "positive", "positive_similarity"):
                found[name] = kept[name].cpu().numpy()[place]
            found["candidate"] = kept["candidate"].cpu().numpy()[column]
            for name in ("weight", "similarity", "rank", "same_meaning", "above_in_guide"):
                found[name] = kept[name].cpu().numpy()[place, column]
            keys = ["step", "place", "anchor", "candidates", "candidate"]
            grouped = found.groupby(keys, sort=True)
            rest = dict.fromkeys(SEEN_COLUMNS, "max")
            parts.append(grouped.agg(rest | _JOINED).reset_index())
        kinds = dict.fromkeys(columns, "int32")
        kinds |= dict.fromkeys(("weight", "similarity", "positive_similarity"), "float32")
        kinds |= dict.fromkeys(("same_meaning", "above_in_guide"), "int8")
        return pd.concat(parts, ignore_index=True)[columns].astype(kinds)

    def state(self) -> list[dict[str, Any]]:
        """Everything a resumed cell needs, as tensors and numbers."""
        return [dict(kept) for kept in self._kept]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Resume from a `state`."""
        self._kept = [dict(kept) for kept in state]


def _above_in_guide(context: SimilarityContext, anchors: int) -> Tensor:
    """``(A, N)`` 1 where the guide is surer of the candidate than of the positive, -1 without."""
    guide = context.guide_similarity
    if guide is None:
        return torch.full_like(context.negative_mask[:anchors], -1, dtype=torch.int8)
    own = guide.gather(1, context.positive[:, None])
    return (guide > own)[:anchors].to(torch.int8)


def texts_of(choices: pd.DataFrame, data: TrainingData) -> pd.DataFrame:
    """Return the texts that a table of choices names, in order of their numbers.

    Returns:
        `TEXT_COLUMNS`; ``content`` is the first text of that number, cut after `LONGEST`.
    """
    named = np.unique(choices[["anchor", "positive", "candidate"]].to_numpy(dtype=np.int64))
    numbers, first = np.unique(data.group, return_index=True)
    place = np.searchsorted(numbers, named[named >= 0])
    contents = [data.texts[first[i]] for i in place]
    shown = [t if len(t) <= LONGEST else f"{t[: LONGEST - 1]}…" for t in contents]
    return pd.DataFrame(
        {
            TEXT_COLUMNS[0]: numbers[place].astype("int32"),
            TEXT_COLUMNS[1]: pd.Series(shown, dtype="str"),
        }
    )
