"""Negative difficulty: what a sampler really chose, by one set of formulas for all samplers.

Everything is computed on the device from the detached context and the selection, with static
shapes and without waiting; numbers are read out once, at the end of a cell.

Source: the vocabulary follows Cai et al. 2020, Are all negatives created equal in contrastive
instance discrimination? (difficulty percentile) and Wang and Isola 2020. https://arxiv.org/abs/2010.06682
"""

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

from nsbench.benchmarks.difficulty.constants import constant
from nsbench.benchmarks.difficulty.gradient import Push, by_row, softmax_weights
from nsbench.benchmarks.difficulty.shares import (
    HARDEST,
    bin_names,
    gini,
    gradient_shares,
    same_by_percentile,
    same_names,
    share_name,
    skewness,
    weight_by_percentile,
)
from nsbench.benchmarks.records import DIFFICULTY_COLUMNS, QUANTILES
from nsbench.samplers import Objective, Selection, SimilarityContext

BINS = 2048
STATISTICS = len(DIFFICULTY_COLUMNS) - 2


def flatten(selection: Selection) -> Selection:
    """One two-dimensional selection for a levelled one: the union, with the mean of the weights."""
    if selection.mask.dim() == 2:
        return selection
    weight = selection.mask.float()
    if selection.log_weight is not None:
        weight = weight * selection.log_weight.exp()
    attract = None if selection.attract is None else selection.attract.any(dim=0)
    mask = selection.mask.any(dim=0)
    return Selection(mask=mask, log_weight=weight.mean(dim=0).log(), attract=attract)


def summary(values: Tensor, mask: Tensor, low: float, high: float) -> Tensor:
    """``(S,)`` mean, std, quantiles and count of the values under a mask.

    Args:
        values: Any shape.
        mask: Same shape, bool.
        low: Left edge of the quantiles' histogram; values outside are put into the edge bins.
        high: Right edge. Quantiles are exact to (high - low) / 2048.

    Returns:
        Float64 in the order of the difficulty columns; NaN where nothing is under the mask.
    """
    value = values.double().flatten()
    weight = mask.flatten().to(value.dtype)
    value = torch.where(mask.flatten(), value, torch.zeros_like(value))
    count = weight.sum()
    mean = (value * weight).sum() / count
    std = ((value - mean).square() * weight).sum().div(count).sqrt()
    place = ((value - low) / (high - low) * BINS).long().clamp(0, BINS - 1)
    filled = torch.zeros(BINS, dtype=value.dtype, device=value.device).scatter_add_(
        0, place, weight
    )
    share = filled.cumsum(0) / count
    quantiles = constant(QUANTILES, value)
    bins = torch.searchsorted(share, quantiles - 1e-12).clamp(max=BINS - 1)
    points = low + (bins + 0.5) * (high - low) / BINS
    points = torch.where(count > 0, points, torch.full_like(points, torch.nan))
    return torch.cat([mean[None], std[None], points, count[None]])


def point(value: Tensor) -> Tensor:
    """``(S,)`` statistics of a single number: its mean, with neither spread nor quantiles."""
    there = torch.ones(1, dtype=torch.float64, device=value.device)
    return torch.cat(
        [value.double().reshape(1), there.new_full((STATISTICS - 2,), torch.nan), there]
    )


def statistics(
    context: SimilarityContext,
    selection: Selection,
    objective: Objective | None = None,
    *,
    push: Push | None = None,
) -> dict[str, Tensor]:
    """All difficulty statistics of one batch.

    Args:
        context: What the sampler saw.
        selection: What it chose; each of its levels counts as an anchor does.
        objective: Whose gradient is shared out; without one InfoNCE's.
        push: Its push on the selection, if that is known already.

    Returns:
        ``{quantity: (S,)}``. Similarities and margins are in cosine units; ``chosen_percentile``
        is the place in the full ranking of eligible candidates, 0 = hardest, 1 = easiest;
        ``effective_negatives`` is exp of the entropy of the shares q of the chosen in the
        objective's gradient |dL/ds|, ``effective_negatives_kish`` 1 / sum q^2, both over the
        anchors whose negatives have a gradient; ``violation`` the share of chosen negatives
        closer than the positive; ``false_negative`` the share of chosen ones known to mean the
        same, ``false_negative_candidates`` that of all eligible ones, ``false_negative_weight``
        the share of the negatives' gradient that they carry. ``gradient_share_x`` is the
        share of that gradient on the hardest x % of the chosen, ``gradient_gini`` how uneven it
        is, ``negative_pull`` its sum by anchor times the temperature (`Push.pull`; small where
        all are easy, 0 where a hinge rests). ``softmax_weight_x_y`` is the softmax weight by
        percent of the full ranking, for any objective at the context's temperature;
        ``hardest_margin`` is to the hardest chosen. ``masked_count`` counts columns that were
        ruled out before the sampler chose, ``left_count`` those that it left. ``chosen_hubness`` is
        the skewness of how often each column was chosen, ``same_meaning_x_y`` the share of
        candidates in that part of the full ranking that mean the same as their anchor.
    """
    push = push or Push.of(context, selection, objective)
    context, selection = by_row(context, selection)
    mask = selection.mask
    similarity = context.similarity.float()
    positive = context.positive_similarity.float()  # (B,)
    every = torch.ones_like(positive, dtype=torch.bool)
    eligible = context.eligible  # (B, 1)
    percentile = (context.ranks() + 0.5) / eligible.clamp(min=1)
    weights, moved, filled = push.shares, push.moved, mask.any(dim=1)
    entropy = -(weights * weights.clamp(min=1e-30).log()).sum(dim=1)
    columns = float(mask.shape[1])
    margin = positive[:, None] - similarity
    harder = ((similarity > positive[:, None]) & context.negative_mask).sum(dim=1)
    candidate = summary(similarity, context.negative_mask, -1, 1)
    taken = mask.sum(dim=0).double()  # (N,)
    out = {
        "positive_similarity": summary(positive, every, -1, 1),
        "candidate_similarity": candidate,
        "chosen_similarity": summary(similarity, mask, -1, 1),
        "margin": summary(margin, mask, -2, 2),
        "violation": summary((margin < 0).float(), mask, 0, 1),
        "chosen_percentile": summary(percentile, mask, 0, 1),
        "effective_negatives": summary(entropy.exp(), moved, 0, columns),
        "effective_negatives_kish": summary(
            weights.square().sum(dim=1).clamp(min=1e-30).reciprocal(), moved, 0, columns
        ),
        "chosen_count": summary(mask.sum(dim=1).float(), every, 0, columns),
        "candidate_count": summary(eligible.squeeze(1).float(), every, 0, columns),
        "positive_rank": summary(1.0 + harder, every, 0, columns + 1),
        "sigma_over_temperature": point(candidate[1] / context.temperature),
        "empty_rows": point((~filled).double().mean()),
        "hardest_margin": summary(margin.masked_fill(~mask, torch.inf).amin(1), filled, -2, 2),
        "negative_pull": summary(push.pull, filled, 0, push.highest),
        "gradient_gini": summary(gini(weights, mask), moved, 0, 1),
        "masked_count": summary(columns - 1.0 - eligible.squeeze(1), every, 0, columns),
        "chosen_hubness": point(skewness(taken, context.negative_mask.any(dim=0))),
        "left_count": summary((context.negative_mask & ~mask).sum(dim=1), every, 0, columns),
    }
    shares = gradient_shares(weights, similarity, mask)
    out |= {share_name(p): summary(s, moved, 0, 1) for p, s in zip(HARDEST, shares, strict=True)}
    out |= _by_percentile(context, selection, percentile)
    if context.synthetic is not None:
        made = (mask & context.synthetic).sum() / mask.sum().clamp(min=1)
        out["synthetic_share"] = point(made.double())
    if selection.attract is not None:
        out["attracted_count"] = summary(selection.attract.sum(dim=1).float(), every, 0, columns)
    if context.truth is not None:
        out |= _against_truth(context, selection, push, context.truth)
        out |= _decisions(context, selection, context.truth)
        rates = same_by_percentile(context.truth, context.negative_mask, percentile)
        for name, rate, count in zip(same_names(), *rates, strict=True):
            out[name] = torch.cat([point(rate)[:-1], count[None]])
    return out


def _by_percentile(
    context: SimilarityContext, selection: Selection, percentile: Tensor
) -> dict[str, Tensor]:
    """Softmax weight of the chosen by place in the full ranking, mean over rows with a choice."""
    filled = selection.mask.any(dim=1)
    weights = weight_by_percentile(softmax_weights(context, selection), percentile)
    means = ((weight * filled).sum() / filled.sum() for weight in weights)
    return {name: point(mean) for name, mean in zip(bin_names(), means, strict=True)}


def _against_truth(
    context: SimilarityContext, selection: Selection, push: Push, truth: Tensor
) -> dict[str, Tensor]:
    """False-negative rates of the candidates and of the chosen, plain and weighted."""
    mask, eligible = selection.mask, context.negative_mask
    false = truth & eligible
    return {
        "false_negative": summary(false.float(), mask, 0, 1),
        "false_negative_candidates": summary(false.float(), eligible, 0, 1),
        "false_negative_weight": summary((push.shares * false).sum(dim=1), push.moved, 0, 1),
    }


def _decisions(
    context: SimilarityContext, selection: Selection, truth: Tensor
) -> dict[str, Tensor]:
    """Precision and recall of what was removed or attracted, all levels counted alike."""
    removed = context.negative_mask & ~selection.mask
    false = truth & context.negative_mask
    out = {
        "removed": summary(removed.float(), context.negative_mask, 0, 1),
        "removed_precision": summary(false.float(), removed, 0, 1),
        "removed_recall": summary(removed.float(), false, 0, 1),
    }
    if selection.attract is not None:
        out["attracted_precision"] = summary(false.float(), selection.attract, 0, 1)
        out["attracted_recall"] = summary(selection.attract.float(), false, 0, 1)
    return out


class DifficultyLog:
    """Collects statistics on the device and turns them into one long table at the end."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, tuple[str, ...], Tensor]] = []

    @property
    def steps(self) -> list[int]:
        """The measured steps."""
        return [step for step, _, _ in self._kept]

    def add(self, step: int, quantities: Mapping[str, Tensor]) -> None:
        """Keep one step's ``{quantity: (S,)}``; nothing is read from the device yet."""
        values = torch.stack([v.double() for v in quantities.values()])
        self._kept.append((step, tuple(quantities), values))

    def state(self) -> list[tuple[int, tuple[str, ...], Tensor]]:
        """Everything a resumed cell needs."""
        return list(self._kept)

    def load(self, state: list[tuple[int, tuple[str, ...], Tensor]]) -> None:
        """Resume from a `state`."""
        self._kept = list(state)

    def table(self) -> pd.DataFrame:
        """The long table with `DIFFICULTY_COLUMNS`, one row per step and quantity."""
        rows = [
            [step, name, *values]
            for step, names, block in self._kept
            for name, values in zip(names, block.cpu().tolist(), strict=True)
        ]
        return pd.DataFrame(rows, columns=list(DIFFICULTY_COLUMNS)).astype(
            {"step": "int64", "quantity": "str"}
        )
