"""Exact streaming histograms of what the measured batches held: every pair of them counted.

Counts only grow, so the counts between two logged steps are the difference of the two.
"""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from nsbench.benchmarks.difficulty.gradient import Push, by_row
from nsbench.benchmarks.records import HISTOGRAM_COLUMNS
from nsbench.samplers import Selection, SimilarityContext

SIMILARITY_BINS = 80
PERCENTILE_BINS = 100
SIMILARITIES = ("positive_similarity", "candidate_similarity", "chosen_similarity")
PERCENTILES = ("chosen_percentile", "chosen_percentile_weighted")


class Histograms:
    """Counts on the device; nothing is read from it before `table`.

    Similarities have 80 bins on [-1, 1], percentiles 100 bins on [0, 1] (0 = hardest); a value on
    an edge counts above it, the upper end in the last bin. ``chosen_percentile_weighted`` counts
    each negative by its share in the objective's gradient, so each anchor whose negatives have a
    gradient counts 1; of a levelled selection each level counts as an anchor does.
    """

    def __init__(self, device: torch.device) -> None:
        self._similarity = torch.zeros(
            len(SIMILARITIES), SIMILARITY_BINS, dtype=torch.float64, device=device
        )
        self._percentile = torch.zeros(
            len(PERCENTILES), PERCENTILE_BINS, dtype=torch.float64, device=device
        )
        self._steps: list[int] = []
        self._kept: list[Tensor] = []

    def add(
        self, context: SimilarityContext, selection: Selection, push: Push | None = None
    ) -> None:
        """Count one batch; without a push on the selection, InfoNCE's counts."""
        push = push or Push.of(context, selection)
        context, selection = by_row(context, selection)
        similarity = context.similarity.float()
        place = ((similarity.double() + 1) * (SIMILARITY_BINS / 2)).long()
        place = place.clamp(0, SIMILARITY_BINS - 1)
        own = place.gather(1, context.positive[:, None])
        for row, (where, weight) in enumerate(
            (
                (own, torch.ones_like(own, dtype=torch.float64)),
                (place, context.negative_mask),
                (place, selection.mask),
            )
        ):
            self._similarity[row].scatter_add_(0, where.flatten(), weight.double().flatten())
        # (rank + 0.5) / n in whole numbers, so that no float error moves one over an edge.
        place = (2 * context.ranks() + 1) * PERCENTILE_BINS // (2 * context.eligible.clamp(min=1))
        place = place.clamp(max=PERCENTILE_BINS - 1)
        for row, weight in enumerate((selection.mask, push.shares)):
            self._percentile[row].scatter_add_(0, place.flatten(), weight.double().flatten())

    def keep(self, step: int) -> None:
        """Keep the counts of all batches so far under ``step``, which they include."""
        self._steps.append(step)
        self._kept.append(torch.cat([self._similarity.flatten(), self._percentile.flatten()]))

    def state(self) -> dict[str, Any]:
        """Everything a resumed cell needs."""
        counts = {"similarity": self._similarity, "percentile": self._percentile}
        return counts | {"steps": self._steps, "kept": self._kept}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self._similarity.copy_(state["similarity"])
        self._percentile.copy_(state["percentile"])
        self._steps, self._kept = list(state["steps"]), list(state["kept"])

    def table(self) -> pd.DataFrame:
        """The long table with `HISTOGRAM_COLUMNS`: cumulative counts, one row per bin."""
        names: list[str] = []
        lows: list[float] = []
        for name in SIMILARITIES:
            names += [name] * SIMILARITY_BINS
            lows += [-1 + 2 * i / SIMILARITY_BINS for i in range(SIMILARITY_BINS)]
        for name in PERCENTILES:
            names += [name] * PERCENTILE_BINS
            lows += [i / PERCENTILE_BINS for i in range(PERCENTILE_BINS)]
        steps = [step for step in self._steps for _ in names]
        counts = [c for kept in self._kept for c in kept.cpu().tolist()]
        times = len(self._steps)
        columns = (steps, names * times, lows * times, counts)
        return pd.DataFrame(dict(zip(HISTOGRAM_COLUMNS, columns, strict=True))).astype(
            {"step": "int64", "quantity": "str", "bin_low": "float64", "count": "float64"}
        )


def joined_histograms(parts: list[tuple[int, pd.DataFrame]]) -> pd.DataFrame:
    """The tables of phases that followed each other, counts carried over from one to the next.

    Args:
        parts: Per phase, the steps before it and its table; an empty one counts nothing.
    """
    out: list[pd.DataFrame] = []
    carried: pd.Series | None = None
    for before, table in parts:
        if table.empty:
            continue
        moved = table.assign(step=table["step"] + before)
        if carried is not None:
            bins = pd.MultiIndex.from_frame(moved[["quantity", "bin_low"]])
            moved["count"] += carried.reindex(bins).fillna(0.0).to_numpy()
        last = moved[moved["step"] == moved["step"].max()]
        carried = last.set_index(["quantity", "bin_low"])["count"]
        out.append(moved)
    if not out:
        return pd.DataFrame(columns=list(HISTOGRAM_COLUMNS))
    return pd.concat(out, ignore_index=True)
