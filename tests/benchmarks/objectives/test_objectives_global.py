"""`global_contrast`: a denominator that remembers an anchor's earlier visits."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from made_losses import Row, every, expect_loops, expect_same_gradient
from made_training import method, opened, unbroken
from torch import Tensor
from torch.nn.functional import one_hot

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.testing.objectives import gradient
from nsbench.samplers import SimilarityContext
from nsbench.samplers.testing import make_context, of_views, two_views


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.3])
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_global_contrast_equals_nested_loops(gamma: float, variant: str) -> None:
    t = 0.1

    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        mean = row.total(lambda s: s / t) / sum(w for _, w in row.negatives)
        before = math.exp(float(context.require("memory")[row.number]))
        u = (1 - gamma) * before + gamma * mean
        pulled = sum(row.positives) / len(row.positives) / t
        return (math.log(u) - pulled) * (t if variant == "official" else 1)

    made = objectives.make("global_contrast", gamma=gamma, variant=variant, temperature=t)
    expect_loops(made, formula)


def test_law_gamma_one_has_the_gradient_of_decoupled() -> None:
    for seed in range(4):
        context = make_context(6, 30, needs={"memory"}, seed=seed, layout="both")
        made = objectives.make("global_contrast", gamma=1.0, temperature=0.1)
        apart = objectives.make("decoupled", temperature=0.1)
        expect_same_gradient(made, apart, context, every(context))


def test_law_a_row_that_was_hard_before_is_pushed_less_now() -> None:
    context = make_context(6, 30, needs={"memory"})
    selection = every(context)
    made = objectives.make("global_contrast", temperature=0.2)
    pushes = []
    for before in (-math.inf, 0.0, 3.0, 6.0):
        seen = context.replace(memory=torch.full((6,), before))
        slope = gradient(made, seen, selection).masked_fill(~selection.mask, 0)
        pushes.append(slope.sum(dim=1))
    for more, less in pairwise(pushes):
        assert (more > less).all()


def official(raw: list[Tensor], before: Tensor, gamma: float, t: float) -> tuple[Tensor, Tensor]:
    """The loss of the released code written down again, each view with its own u; and the us."""
    one, two = (torch.nn.functional.normalize(v, dim=1) for v in raw)
    size = len(one)
    itself = one_hot(torch.arange(size), size)
    total, kept = torch.zeros(()), []
    for k, (a, b) in enumerate(((one, two), (two, one))):
        logits = torch.cat([a @ b.T, a @ a.T - 1e9 * itself], dim=1)
        negatives = torch.exp(logits / t) * (1 - one_hot(torch.arange(size), 2 * size))
        mean = negatives.sum(dim=1, keepdim=True) / (2 * (size - 1))
        u = (1 - gamma) * before[k * size : (k + 1) * size, None] + gamma * mean
        weight = (negatives / u).detach()
        pushed = (weight * logits.clamp(min=-2)).sum(dim=1) / (2 * (size - 1))
        total = total + (pushed - logits.diagonal()).mean()
        kept.append(u.detach()[:, 0])
    return total / 2, torch.cat(kept)


def test_agreement_with_the_released_code_in_its_gradient_and_memory() -> None:
    for seed in range(3):
        raw = [v.clone().requires_grad_() for v in two_views(7, seed=seed)]
        before = torch.rand(14, generator=torch.Generator().manual_seed(seed)) + 0.1
        one, two = (torch.nn.functional.normalize(v, dim=1) for v in raw)
        context = of_views(one.detach(), two.detach(), both=True).replace(memory=before.log())
        views, selection = torch.cat([one, two]), every(context)
        made: Any = objectives.make("global_contrast", variant="official", temperature=0.5)
        mine = made(views @ views.T, context, selection).mean()
        theirs, kept = official(raw, before, 0.9, 0.5)
        slopes = torch.autograd.grad(theirs, raw)
        for a, b in zip(torch.autograd.grad(mine, raw), slopes, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        now = made.remember(context.similarity, context, selection)
        torch.testing.assert_close(now.exp(), kept, rtol=1e-5, atol=1e-5)


def begun(**given: Any) -> Any:
    data = datasets.make("planted", rows=40)()
    encoder = encoders.make("static", dimension=16).build(data.texts, 0)
    made = objectives.make("global_contrast", **given)
    return opened(encoder, data, method(objective=made, steps=20, directions="both"))


def test_a_training_keeps_a_number_for_each_view_of_a_row_it_has_seen() -> None:
    under = begun()
    steps = iter(under)
    next(steps)
    memory = under.make_step.rows.memory.view(40, 4)
    seen = torch.isfinite(memory)
    assert seen[:, :2].sum() == 16
    assert not seen[:, 2:].any()
    assert (seen[:, 0] == seen[:, 1]).all()
    for _ in range(4):
        next(steps)
    assert torch.isfinite(memory[:, :2]).all()  # an epoch is five batches of eight


def test_a_training_with_a_memory_resumes_as_if_never_stopped() -> None:
    whole = unbroken(lambda: begun(gamma=0.5), after=9)
    forgetful = begun(gamma=1.0)
    assert (forgetful.finish().training["loss"] != whole.result().training["loss"]).any()
