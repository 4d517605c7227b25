"""Losses one anchor at a time, in plain Python: the slow and obvious form to compare with."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.objectives._embedded import Embedded
from nsbench.benchmarks.testing.objectives import gradient, objective_cases
from nsbench.samplers import Objective, Selection, SimilarityContext
from nsbench.samplers.testing import make_context, of_views, two_views


@dataclass(frozen=True)
class Row:
    """What an anchor meets.

    Attributes:
        s_pos: Similarity of its positive.
        positives: Those of all its positives, its own first.
        negatives: Similarity and weight of each chosen negative.
        columns: Columns of those negatives.
        number: Of the row.
    """

    s_pos: float
    positives: list[float]
    negatives: list[tuple[float, float]]
    columns: list[int]
    number: int

    def total(self, logit: Callable[[float], float]) -> float:
        """Weighted sum of exp(logit(s)) over the negatives."""
        return sum(w * math.exp(logit(s)) for s, w in self.negatives)


def rows_of(context: SimilarityContext, selection: Selection) -> list[Row]:
    """Every anchor of a batch."""
    out = []
    for i, row in enumerate(context.similarity.double().tolist()):
        own = row[int(context.positive[i])]
        chosen = [j for j in range(len(row)) if bool(selection.mask[i, j])]
        log = [0.0] * len(row)
        if selection.log_weight is not None:
            log = selection.log_weight[i].double().tolist()
        more = []
        if selection.attract is not None:
            more = [row[j] for j in range(len(row)) if bool(selection.attract[i, j])]
        negatives = [(row[j], math.exp(log[j])) for j in chosen]
        out.append(Row(own, [own, *more], negatives, chosen, i))
    return out


def expect_loops(
    objective: Objective,
    formula: Callable[[Row, SimilarityContext, list[Row]], float],
    *,
    attract: bool = True,
    tolerance: float = 1e-5,
) -> None:
    """Compare an objective with a formula for one anchor; anchors without negatives cost 0."""
    seen = 0
    for context, selection in objective_cases(objective):
        if selection.attract is not None and not attract:
            continue
        rows = rows_of(context, selection)
        slow = [formula(row, context, rows) if row.negatives else 0.0 for row in rows]
        fast = objective(context.similarity, context, selection)
        wanted = torch.tensor(slow, dtype=torch.float64)
        torch.testing.assert_close(fast.double(), wanted, rtol=tolerance, atol=tolerance)
        seen += 1
    assert seen >= 6


def every(context: SimilarityContext) -> Selection:
    """All that may be chosen."""
    return Selection(mask=context.negative_mask)


def case(seed: int = 0) -> tuple[SimilarityContext, Selection]:
    """A batch of which every eligible candidate is chosen."""
    context = make_context(6, 30, needs=(), seed=seed)
    return context, every(context)


def loss_of(
    name: str, context: SimilarityContext, selection: Selection | None = None, **parameters: Any
) -> Tensor:
    """The losses of a batch by an objective; without a selection over all that may be chosen."""
    objective = objectives.make(name, **parameters)
    return objective(context.similarity, context, selection or every(context))


def raws(size: int = 6, dimensions: int = 8, seed: int = 0) -> list[Tensor]:
    """Two views of a batch, of several lengths, with gradients."""
    scale = torch.rand(size, 1, generator=torch.Generator().manual_seed(seed)) + 0.5
    made = two_views(size, seed=seed, dimensions=dimensions)
    return [(v * scale).clone().requires_grad_() for v in made]


def embedded(raw: list[Tensor]) -> tuple[Embedded, SimilarityContext, Selection]:
    """A batch of two views as the engine lays it out, one direction."""
    one, two = (normalize(v, dim=1) for v in raw)
    context = of_views(one.detach(), two.detach())
    return Embedded(one, two, (one, two), one @ two.T), context, every(context)


def info_nce(row: Row, t: float) -> float:
    """-log of the positive's share, averaged over the positives."""
    total = row.total(lambda s: s / t) + sum(math.exp(p / t) for p in row.positives)
    return sum(math.log(total) - p / t for p in row.positives) / len(row.positives)


def expect_agreement(mine: Tensor, theirs: Tensor, raw: list[Tensor], atol: float = 1e-5) -> None:
    """Expect two losses to be the same, and to move raw embeddings alike."""
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=atol)
    there = torch.autograd.grad(theirs, raw, retain_graph=True)
    for a, b in zip(torch.autograd.grad(mine, raw), there, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=atol)


def expect_same_gradient(
    one: Objective, two: Objective, context: SimilarityContext, selection: Selection
) -> None:
    """Expect two objectives to push and pull alike."""
    a: Tensor = gradient(one, context, selection)
    torch.testing.assert_close(a, gradient(two, context, selection), rtol=1e-5, atol=1e-6)
    assert a.abs().sum() > 0
