"""`decoupled`, `model_aware` and `focal`: one family, weighted by powers of 1 - p."""

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from made_losses import (
    Row,
    case,
    every,
    expect_agreement,
    expect_loops,
    expect_same_gradient,
    info_nce,
)
from torch import Tensor

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.testing.objectives import gradient
from nsbench.samplers import SimilarityContext
from nsbench.samplers.testing import of_views, two_views

BATCH = 7


@pytest.mark.parametrize("t", [0.5, 0.1, 0.05])
def test_decoupled_equals_nested_loops(t: float) -> None:
    def plain(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        pulled = sum(row.positives) / len(row.positives) / t
        return math.log(row.total(lambda s: s / t)) - pulled

    expect_loops(objectives.make("decoupled", temperature=t), plain)

    def weighted(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        counted = [r for r in rows if r.negatives]
        mean = sum(math.exp(r.s_pos / 0.5) for r in counted) / len(counted)
        weight = 2 - math.exp(row.s_pos / 0.5) / mean
        return math.log(row.total(lambda s: s / t)) - weight * row.s_pos / t

    made = objectives.make("decoupled", temperature=t, positives="weighted")
    expect_loops(made, weighted, attract=False)


@pytest.mark.parametrize(("alpha", "base"), [(0.0, 0.0), (0.5, 0.0), (0.9, 0.3)])
def test_model_aware_equals_nested_loops(alpha: float, base: float) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        counted = [r.s_pos for r in rows if r.negatives]
        t = 0.1 * (1 + alpha * (sum(counted) / len(counted) - base))
        loss = info_nce(row, t)
        return loss / (1 - math.exp(-loss))

    for variant in ("paper", "official"):
        made = objectives.make("model_aware", alpha=alpha, base=base, variant=variant)
        expect_loops(made, formula, attract=False)


@pytest.mark.parametrize("gamma", [-1.0, 0.0, 0.5, 2.0])
@pytest.mark.parametrize("weight", ["live", "detached"])
def test_focal_equals_nested_loops(gamma: float, weight: str) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        loss = info_nce(row, 0.1)
        return (1 - math.exp(-loss)) ** gamma * loss

    expect_loops(objectives.make("focal", gamma=gamma, weight=weight, temperature=0.1), formula)


def test_law_info_nce_is_the_softplus_of_decoupled() -> None:
    for seed in range(4):
        context, selection = case(seed)
        similarity = context.similarity.double()
        plain = objectives.make("info_nce", temperature=0.1)(similarity, context, selection)
        apart = objectives.make("decoupled", temperature=0.1)(similarity, context, selection)
        wanted = torch.nn.functional.softplus(apart.double())
        torch.testing.assert_close(plain, wanted, rtol=1e-5, atol=1e-6)


def test_law_model_aware_at_alpha_zero_has_the_gradient_of_decoupled() -> None:
    for seed in range(4):
        macl = objectives.make("model_aware", alpha=0.0, variant="paper")
        expect_same_gradient(macl, objectives.make("decoupled"), *case(seed))


def test_law_focal_detached_runs_from_decoupled_to_info_nce() -> None:
    for seed in range(4):
        apart = objectives.make("focal", gamma=-1.0, temperature=0.1)
        expect_same_gradient(apart, objectives.make("decoupled"), *case(seed))
        for weight in ("live", "detached"):
            plain = objectives.make("focal", gamma=0.0, temperature=0.1, weight=weight)
            expect_same_gradient(plain, objectives.make("info_nce", temperature=0.1), *case(seed))


def test_law_focal_leaves_solved_anchors_alone_and_decoupled_does_not() -> None:
    context, selection = case()
    context = context.replace(
        similarity=context.similarity.scatter(1, context.positive[:, None], 0.99)
    )
    pushes = {
        gamma: gradient(objectives.make("focal", gamma=gamma), context, selection).abs().sum()
        for gamma in (-1.0, 0.0, 0.5, 2.0)
    }
    assert pushes[-1.0] > pushes[0.0] > pushes[0.5] > pushes[2.0]
    apart = gradient(objectives.make("focal", gamma=-1.0), context, selection)
    pulled = apart.gather(1, context.positive[:, None])
    torch.testing.assert_close(pulled, torch.full_like(pulled, -20.0), rtol=1e-3, atol=1e-3)


def test_law_focal_live_weight_pulls_less_on_solved_anchors_than_detached() -> None:
    """d/dx of softplus(x) sigmoid(x)^g has one term more, of the sign of g."""
    context, selection = case()
    live, still = (
        gradient(objectives.make("focal", gamma=1.0, weight=w, temperature=0.2), context, selection)
        for w in ("live", "detached")
    )
    assert (live.abs() >= still.abs() - 1e-6).all()
    assert not torch.allclose(live, still)


def lightly(module: str) -> Any:
    """A file of lightly's losses; their package imports torchvision, which they do not need."""
    root = pytest.importorskip("lightly").__path__[0]
    path = Path(root) / "loss" / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"lightly_{module}", path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def ours(name: str, raw: list[Tensor], **given: Any) -> Tensor:
    one, two = (torch.nn.functional.normalize(v, dim=1) for v in raw)
    context = of_views(one.detach(), two.detach(), both=True)
    views = torch.cat([one, two])
    made = objectives.make(name, **given)
    return made(views @ views.T, context, every(context)).mean()


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
@pytest.mark.parametrize(
    ("name", "given", "module", "theirs", "theirs_given"),
    [
        ("decoupled", {}, "dcl_loss", "DCLLoss", {}),
        ("decoupled", {"temperature": 0.3}, "dcl_loss", "DCLLoss", {"temperature": 0.3}),
        ("decoupled", {"positives": "weighted"}, "dcl_loss", "DCLWLoss", {}),
        ("model_aware", {}, "macl_loss", "MACLLoss", {}),
        (
            "model_aware",
            {"alpha": 0.9, "base": 0.2},
            "macl_loss",
            "MACLLoss",
            {"alpha": 0.9, "A_0": 0.2},
        ),
    ],
)
def test_agreement_with_lightly(
    name: str, given: dict[str, Any], module: str, theirs: str, theirs_given: dict[str, Any]
) -> None:
    loss = getattr(lightly(module), theirs)(**theirs_given)
    for seed in range(3):
        raw = [v.clone().requires_grad_() for v in two_views(BATCH, seed=seed)]
        expect_agreement(ours(name, raw, **given), loss(*raw), raw)
