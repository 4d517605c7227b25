"""Difficulty by the objective's own gradient, for every objective (methods: gradient)."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nsbench.benchmarks.difficulty.gradient import Push, by_row, derivative, softmax_weights
from nsbench.benchmarks.difficulty.statistics import statistics
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import Objective, Selection, SimilarityContext

ALL = [
    (name, params)
    for name in objectives.names()
    for params in ({}, *objectives.entry(name).attribute("test_configs", ()))
]


def batch(seed: int, rows: int = 6, columns: int = 14) -> tuple[SimilarityContext, Selection]:
    draw = torch.Generator().manual_seed(seed)
    similarity = torch.rand(rows, columns, generator=draw) * 1.2 - 0.4
    positive = torch.arange(rows)
    mask = torch.ones(rows, columns, dtype=torch.bool)
    mask[positive, positive] = False
    context = SimilarityContext(
        similarity=similarity,
        positive=positive,
        negative_mask=mask,
        progress=torch.tensor(0.3),
        temperature=0.1,
        own_negative=torch.rand(rows, columns, generator=draw) < 0.2,
        truth=(torch.rand(rows, columns, generator=draw) < 0.1) & mask,
        guide_similarity=torch.rand(rows, columns, generator=draw),
        grade=torch.linspace(0, 1, rows),
        memory=torch.zeros(rows),
    )
    chosen = mask & (torch.rand(rows, columns, generator=draw) < 0.7)
    return context, Selection(
        mask=chosen, log_weight=torch.rand(rows, columns, generator=draw) - 0.5
    )


def differences(
    objective: Objective, context: SimilarityContext, selection: Selection
) -> torch.Tensor:
    """Central differences of every anchor's loss by each of its similarities."""
    out = torch.zeros_like(context.similarity)
    step = 2e-3
    for column in range(out.shape[1]):
        found = []
        for sign in (1, -1):
            moved = context.similarity.clone()
            moved[:, column] += sign * step
            found.append(objective(moved, context, selection))
        out[:, column] = (found[0] - found[1]) / (2 * step)
    return out


def is_detached(name: str, params: dict[str, Any]) -> bool:
    """Whether an objective has weights that move with the similarities, yet get no gradient.

    Or a row's loss reads the similarities of other rows.
    """
    return (
        name in ("angle", "cosent", "global_contrast")
        or (name, params) == ("hard_debiased", {"variant": "paper"})
        or (name == "decoupled" and params.get("positives") == "weighted")
        or (name == "focal" and params.get("weight") != "live" and params.get("gamma") != 0)
        or name == "model_aware"
    )


@pytest.mark.parametrize(("name", "params"), [c for c in ALL if not is_detached(*c)], ids=str)
def test_shares_of_every_objective_are_those_of_its_differences(
    name: str, params: dict[str, Any]
) -> None:
    objective = objectives.make(name, **params)
    context, selection = batch(3)
    context = context.replace(temperature=float(getattr(objective, "temperature", 0.05)))
    wanted = differences(objective, context, selection).masked_fill(~selection.mask, 0)
    push = Push.of(context, selection, objective)
    size = wanted.abs().sum(dim=1, keepdim=True)
    scale = float(size.max().clamp(min=1e-6))
    unit = float(getattr(objective, "temperature", 1.0))
    assert torch.allclose(push.pull, size[:, 0] * unit, atol=0.03 * scale * unit)
    assert torch.allclose(push.signed * push.pull[:, None] / unit, wanted, atol=0.03 * scale)
    sums = push.shares.sum(dim=1)
    assert torch.allclose(sums, push.moved.float(), atol=1e-5)


@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.05, 0.3, 1.0]))
@settings(max_examples=25)
def test_law_shares_of_info_nce_are_softmax_weights(seed: int, temperature: float) -> None:
    context, selection = batch(seed)
    context = context.replace(temperature=temperature)
    objective = objectives.make("info_nce", temperature=temperature)
    found = statistics(context, selection, objective)
    plain = statistics(context, selection)
    assert found.keys() == plain.keys()
    for name, value in plain.items():
        assert torch.allclose(found[name][0], value[0], rtol=1e-4, atol=1e-6, equal_nan=True), name
    push = Push.of(context, selection, objective)
    assert torch.allclose(push.shares, softmax_weights(context, selection), atol=1e-5)


def test_a_hinge_at_rest_and_a_debiased_loss_at_its_floor_have_no_shares() -> None:
    context, selection = batch(1)
    similarity = context.similarity - 1.0
    resting = context.replace(
        similarity=similarity.scatter(1, context.positive[:, None], 0.9), temperature=0.02
    )
    for name, params in (
        ("triplet", {"margin": 0.05}),
        ("debiased", {"temperature": 0.02, "prior": 0.1}),
    ):
        found = statistics(resting, selection, objectives.make(name, **params))
        assert found["negative_pull"][0] == 0, name
        assert found["effective_negatives"][-1] == 0, name  # no anchor has a gradient to share
        assert found["gradient_gini"][-1] == 0, name
        assert found["gradient_share_5"][-1] == 0, name


def test_one_active_hinge_is_one_effective_negative() -> None:
    context, selection = batch(2)
    similarity = torch.full_like(context.similarity, -0.9)
    similarity.scatter_(1, context.positive[:, None], 0.5)
    hardest = selection.mask.int().argmax(dim=1, keepdim=True)
    context = context.replace(similarity=similarity.scatter(1, hardest, 0.49))
    objective = objectives.make("triplet", margin=0.1)
    found = statistics(context, Selection(mask=selection.mask), objective)
    assert found["effective_negatives"][0].item() == pytest.approx(1)
    assert statistics(context, Selection(mask=selection.mask))["effective_negatives"][0] < 1.01
    three = similarity.masked_fill(selection.mask & (selection.mask.cumsum(1) <= 3), 0.49)
    found = statistics(
        context.replace(similarity=three, temperature=0.01),
        Selection(mask=selection.mask),
        objective,
    )
    assert found["effective_negatives"][0].item() == pytest.approx(3)


def test_the_deputy_of_all_negatives_pushes_them_alike() -> None:
    context, selection = batch(4)
    chosen = Selection(mask=selection.mask)
    official = objectives.make("truncated_triplet", variant="official")
    found = statistics(context, chosen, official)
    counts = selection.mask.sum(dim=1).double()
    assert found["effective_negatives"][0].item() == pytest.approx(counts.mean().item(), rel=1e-5)
    assert found["gradient_gini"][0].item() == pytest.approx(0, abs=1e-6)


def test_released_weights_attract_easy_negatives_and_detached_ones_do_not() -> None:
    context, selection = batch(5)
    official = objectives.make("hard_debiased", prior=0.0)
    paper = objectives.make("hard_debiased", prior=0.0, variant="paper")
    assert (Push.of(context, selection, official).signed < -1e-4).any()
    assert not (Push.of(context, selection, paper).signed < -1e-6).any()
    flat = statistics(context.replace(temperature=0.5), selection)
    found = statistics(context.replace(temperature=0.5), selection, official)
    assert found["effective_negatives"][0] < flat["effective_negatives"][0] - 0.5


def test_each_level_counts_as_an_anchor_does() -> None:
    context, selection = batch(6)
    half = selection.mask & (torch.arange(14) % 2 == 0)
    nothing = torch.zeros_like(half)
    levels = Selection(mask=torch.stack([selection.mask, half, nothing]))
    objective = objectives.make("info_nce", temperature=0.1)
    context = context.replace(truth=context.own_negative)
    found = statistics(context, levels, objective)
    parts = [statistics(context, part, objective) for part in levels.parts()]
    for name in ("chosen_count", "empty_rows", "candidate_count", "left_count", "removed"):
        mean = sum(p[name][0].item() for p in parts) / 3
        assert found[name][0].item() == pytest.approx(mean), name
    for name in ("effective_negatives", "gradient_gini", "margin", "false_negative_weight"):
        mean = sum(p[name][0].item() * p[name][-1].item() for p in parts[:2])
        mean /= sum(p[name][-1].item() for p in parts[:2])
        assert found[name][0].item() == pytest.approx(mean, rel=1e-5), name
    by_anchor = Push.of(context, levels, objective).by_anchor(6)
    assert torch.allclose(by_anchor.sum(dim=1), torch.ones(6), atol=1e-5)
    rows, flat = by_row(context, levels)
    assert rows.similarity.shape == flat.mask.shape == (18, 14)


def test_measuring_gives_no_weight_a_gradient_and_works_without_one() -> None:
    context, selection = batch(7)
    weight = torch.ones((), requires_grad=True)
    objective = objectives.make("info_nce")
    with torch.no_grad():
        found = derivative(
            objective, context.replace(similarity=context.similarity * weight), selection
        )
    assert weight.grad is None
    assert not found.requires_grad
    assert (found[selection.mask] > 0).any()


@pytest.mark.parametrize(("name", "params"), ALL, ids=str)
def test_the_gradient_never_waits_for_the_device(name: str, params: dict[str, Any]) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    context, selection = batch(8)
    with FakeTensorMode() as mode:
        fake = context.map(mode.from_tensor)
        mask = mode.from_tensor(selection.mask)
        found = statistics(fake, Selection(mask=mask), objectives.make(name, **params))
    assert found["margin"].dim() == 1
