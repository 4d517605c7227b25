"""Alarms: signs that a cell did not do what its name says."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from nsbench.benchmarks.records import Score
from nsbench.benchmarks.records.cell import Cell

COLLAPSED_COSINE = 0.95
COLLAPSED_RANK_SHARE = 0.5
MOSTLY = 0.9
SOMETIMES = 0.01
ROSE = 1.5
STILL = 1e-6
_COURSE = ("loss", "probe_drift_from_start", "left_count", "candidate_count")
ABSURD_RATE = 1.0
CUT = 0.1


class _Rule(NamedTuple):
    """An alarm on the mean of one quantity over training."""

    name: str
    quantity: str
    limit: float
    above: bool
    text: str


_RULES = (
    _Rule(
        "clamp",
        "clamp_rate",
        0.5,
        above=True,
        text="of anchors sit at the debiasing floor: their negatives get no gradient",
    ),
    _Rule(
        "hinge_always_active",
        "hinge_active",
        1 - 1e-9,
        above=True,
        text="of hinges are active: the margin has no effect",
    ),
    _Rule(
        "hinge_never_active",
        "hinge_active",
        SOMETIMES,
        above=False,
        text="of hinges are active: there is almost no gradient",
    ),
    _Rule(
        "empty_rows",
        "empty_rows",
        SOMETIMES,
        above=True,
        text="of anchors had no negative left",
    ),
    _Rule(
        "random_queue",
        "stored_recognised",
        0.5,
        above=False,
        text="of the stored embeddings are nearest to their own text: the rest look random",
    ),
    _Rule(
        "identical_views",
        "identical_views",
        MOSTLY,
        above=True,
        text="of positives are identical to their anchor: no alignment signal",
    ),
)


def find_alarms(
    difficulty: pd.DataFrame,
    scores: Sequence[Score],
    cell: Cell,
    cost: Mapping[str, float] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Everything about a trained cell that deserves a warning.

    Returns:
        One ``{"name", "value", "limit", "text"}`` per alarm.
    """
    found = [*_of_means(difficulty, cell), *_of_space(difficulty)]
    found += [*_of_budget(cell, cost), *_of_course(difficulty, cell)]
    undefined = [s.task for s in scores if s.main and math.isnan(s.value)]
    found += [("undefined_score", 0.0, 0.0, f"{t} has no defined score") for t in undefined]
    return [
        {"name": name, "value": float(value), "limit": float(limit), "text": text}
        for name, value, limit, text in found
    ]


Alarms = Iterator[tuple[str, float, float, str]]
"""Name, value, limit and text of each alarm."""


def _of_means(difficulty: pd.DataFrame, cell: Cell) -> Alarms:
    """Steps that did little: rules on means over training, and views that change no text."""
    mean = difficulty.groupby("quantity")["mean"].mean()
    for rule in _RULES:
        if rule.quantity in mean.index:
            value = mean[rule.quantity]
            if (value >= rule.limit) if rule.above else (value <= rule.limit):
                yield rule.name, value, rule.limit, f"{value:.1%} {rule.text}"
    for view, choices in (("view1", cell.view1), ("view2", cell.view2)):
        acting = [c for c in choices if c.name not in ("none", "dropout")]
        value = mean.get(f"noop_{view}", 0.0)
        if acting and value >= SOMETIMES:
            text = f"{' + '.join(map(str, acting))} left {value:.1%} of the texts alone"
            yield f"noop_{view}", value, SOMETIMES, text


def _of_space(difficulty: pd.DataFrame) -> Alarms:
    """A space that collapsed."""
    last = difficulty[difficulty["step"] == difficulty["step"].max()].set_index("quantity")["mean"]
    cosine = last.get("candidate_similarity", 0.0)
    if cosine >= COLLAPSED_COSINE:
        text = f"mean cosine of candidates is {cosine:.3f} at the end: the space has collapsed"
        yield "collapse", cosine, COLLAPSED_COSINE, text
    ranks = difficulty[difficulty["quantity"] == "probe_effective_rank"].sort_values("step")["mean"]
    if len(ranks) and ranks.iloc[-1] < COLLAPSED_RANK_SHARE * ranks.iloc[0]:
        text = f"effective rank fell from {ranks.iloc[0]:.1f} to {ranks.iloc[-1]:.1f}"
        yield "rank_collapse", ranks.iloc[-1] / ranks.iloc[0], COLLAPSED_RANK_SHARE, text


def _of_budget(cell: Cell, cost: Mapping[str, float]) -> Alarms:
    """Settings that cannot be meant."""
    rate = cell.budget.learning_rate
    if rate > ABSURD_RATE:
        yield "learning_rate", rate, ABSURD_RATE, f"the peak learning rate is {rate:g}"
    cut, texts = cost.get("truncated_texts", 0.0), cost.get("texts", 0.0)
    if texts and cut / texts >= CUT:
        yield (
            "truncation",
            cut / texts,
            CUT,
            f"{cut:,.0f} of {texts:,.0f} texts ({cut / texts:.1%}) are longer than the limit of "
            f"{cell.budget.max_length} tokens (or the encoder's, if that is lower) and were cut",
        )


def _of_course(difficulty: pd.DataFrame, cell: Cell) -> Alarms:
    """Trainings that led nowhere: a loss that rose, weights that stayed, a sampler without use."""
    read = difficulty["quantity"].isin(_COURSE)
    course = {
        name: [float(v) for v in part.sort_values("step")["mean"]]
        for name, part in difficulty[read].groupby("quantity")
    }
    loss = course.get("loss", [])
    if len(loss) > 1 and loss[-1] > ROSE * abs(loss[0]) > 0:
        text = f"the loss rose from {loss[0]:.3g} to {loss[-1]:.3g}"
        yield "loss_rose", loss[-1] / abs(loss[0]), ROSE, text
    drift = course.get("probe_drift_from_start", [])
    if len(drift) > 1 and drift[-1] <= STILL:
        text = f"texts moved by {drift[-1]:.1e} (1 - cosine) in {cell.budget.steps} steps"
        yield "untrained", float(drift[-1]), STILL, text
    left = course.get("left_count", [])
    if len(left) and _takes_k(cell) and not any(left):
        counts = course.get("candidate_count", [0.0])
        count = sum(counts) / len(counts)
        text = f"{cell.sampler} left out none of {count:g} candidates: it was in_batch"
        yield "k_too_large", 0.0, 0.0, text


def _takes_k(cell: Cell) -> bool:
    """Return True if the sampler, or one that it holds, keeps a number k of candidates."""
    given = cell.sampler.params
    if given.get("keep") == "all":  # mined columns are further ones; the batch's stay
        return False
    inner = " ".join(str(v) for v in given.values())
    return "k" in given or given.get("parameter") == "k" or "k=" in inner
