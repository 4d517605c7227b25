"""The phases of a cell: what each trains on, and what several leave behind together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.data._layouts import unpaired
from nsbench.benchmarks.regimes import Phase
from nsbench.benchmarks.training.measures import Trained

_OF_ENTAILMENT = ("entailment_accuracy", "candidate_similarity")


def few_shot(data: TrainingData, limit: int, *, batch_size: int, seed: int) -> TrainingData:
    """The first ``limit`` rows of a shuffle, repeated until they fill a batch.

    Sets of one seed are nested: 10 rows are among the 100. Repeated texts are duplicates, which
    are never negatives of each other: with 1 row every anchor is left without a negative.

    Args:
        data: All rows.
        limit: Rows to keep, at most all of them; 0 keeps the data as it is.
        batch_size: B.
        seed: Of the shuffle.
    """
    if limit == 0 or limit >= data.rows:
        return data
    rows = np.random.default_rng(seed).permutation(data.rows)[:limit]
    rows = np.tile(rows, -(-batch_size // limit))
    anchor, positive, negatives = data.anchor[rows], data.positive[rows], data.negatives[rows]
    used = np.unique(np.concatenate([anchor, positive, negatives[negatives >= 0].ravel()]))
    place = np.full(len(data.texts) + 1, -1, dtype=np.int64)  # the last one stands for -1
    place[used] = np.arange(len(used))
    return replace(
        data,
        texts=tuple(data.texts[i] for i in used),
        anchor=place[anchor],
        positive=place[positive],
        negatives=place[negatives],
        meaning=None if data.meaning is None else data.meaning[used],
        nli=None if data.nli is None else data.nli[rows],
        revision=f"{data.revision} ({limit} rows)",
    )


def phase_data(phase: Phase, data: TrainingData, pairs: TrainingData | None) -> TrainingData:
    """The rows a phase trains on.

    Args:
        phase: The phase.
        data: The cell's data; if it has entailment classes its pairs are no positives, so that
            contrast takes every text by itself.
        pairs: The regime's entailment pairs.
    """
    if phase.nli and pairs is not None:
        return pairs
    return data if data.nli is None else unpaired(data)


def joined(parts: Sequence[tuple[Phase, Trained]]) -> Trained:
    """What several phases leave behind: tables one after the other, costs summed."""
    tables: list[pd.DataFrame] = []
    losses: list[pd.DataFrame] = []
    cost: dict[str, float] = {}
    steps = 0
    for phase, trained in parts:
        seen = trained.difficulty
        if phase.kind == "entailment":  # nothing was contrasted
            seen = seen[seen["quantity"].isin(_OF_ENTAILMENT)]
        tables.append(seen.assign(step=seen["step"] + steps))
        losses.append(trained.training.assign(step=trained.training["step"] + steps))
        mean = cost.get("negatives_per_anchor", 0.0) * steps
        for name, value in trained.cost.items():
            cost[name] = cost.get(name, 0.0) + value
        mean += trained.cost.get("negatives_per_anchor", 0.0) * phase.budget.steps
        steps += phase.budget.steps
        cost["negatives_per_anchor"] = mean / max(1, steps)
    return Trained(
        difficulty=pd.concat(tables, ignore_index=True),
        training=pd.concat(losses, ignore_index=True),
        cost=cost,
    )
