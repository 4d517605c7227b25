"""`listwise_kd` and `margin_mse`: a teacher's scores as the target."""

import math

import pytest
import torch
from made_losses import Row, every, expect_agreement, expect_loops, info_nce
from made_training import training
from running import Build, planned_of

from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers.testing import make_context, of_views, two_views, unit


@pytest.mark.parametrize("contrast", [0.0, 0.7])
def test_listwise_kd_equals_nested_loops(contrast: float) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        guide = context.require("guide_similarity")[row.number].double().tolist()
        own = int(context.positive[row.number])
        ours = [(row.s_pos / 0.1, 1.0)] + [(s / 0.1, w) for s, w in row.negatives]
        theirs = [guide[own] / 0.2] + [guide[j] / 0.2 for j in row.columns]
        weight = [w for _, w in ours]
        a = [w * math.exp(t) for t, w in zip(theirs, weight, strict=True)]
        b = [w * math.exp(s) for s, w in ours]
        p, q = ([x / sum(side) for x in side] for side in (a, b))
        divergence = sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
        return divergence + contrast * info_nce(row, 0.1)

    made = objectives.make(
        "listwise_kd", temperature=0.1, teacher_temperature=0.2, contrast=contrast
    )
    expect_loops(made, formula, attract=False)


def test_margin_mse_equals_nested_loops() -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        guide = context.require("guide_similarity")[row.number].double().tolist()
        t_pos = guide[int(context.positive[row.number])]
        total = sum(w for _, w in row.negatives)
        return (
            sum(
                w * ((row.s_pos - s) - (t_pos - guide[j])) ** 2
                for (s, w), j in zip(row.negatives, row.columns, strict=True)
            )
            / total
        )

    expect_loops(objectives.make("margin_mse"), formula, attract=False)


def test_law_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    context = make_context(6, 30)
    context = context.replace(guide_similarity=context.similarity)
    selection = every(context)
    for name in ("listwise_kd", "margin_mse"):
        live = context.similarity.clone().requires_grad_()
        loss = objectives.make(name)(live, context, selection)
        loss.sum().backward()
        torch.testing.assert_close(loss, torch.zeros_like(loss), atol=1e-6, rtol=0)
        torch.testing.assert_close(live.grad, torch.zeros_like(live), atol=1e-5, rtol=0)


def test_agreement_margin_mse_with_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers").sentence_transformer.losses
    theirs = losses.MarginMSELoss(None)
    size = 5
    one, two = two_views(size, seed=1)
    draw = torch.Generator().manual_seed(2)
    raw = [v.clone().requires_grad_() for v in (one, two, unit(size, 8, generator=draw))]
    teacher = [unit(size, 8, generator=draw) for _ in range(3)]
    gap = (teacher[0] * (teacher[1] - teacher[2])).sum(dim=1)
    wanted = theirs.compute_loss_from_embeddings(raw, gap)
    live = raw[0] @ torch.cat(raw[1:]).T
    own = torch.cat([torch.zeros(size, size), torch.eye(size)], dim=1) > 0
    context = of_views(one, two).replace(
        similarity=live.detach(), guide_similarity=teacher[0] @ torch.cat(teacher[1:]).T
    )
    loss = objectives.make("margin_mse")(live, context, Selection(mask=own)).mean()
    expect_agreement(loss, wanted, raw)


def test_a_training_learns_from_the_encoder_as_it_was() -> None:
    done = training("static", "hard", objective="listwise_kd").finish()
    assert done.training["loss"].iloc[0] < 1e-6


def test_the_teacher_of_an_objective_is_part_of_the_key(small: Build) -> None:
    named = {"name": "listwise_kd", "guide": "static[dimension=32]"}
    (one,) = planned_of(small(objectives=[named]))
    assert "objective_guide" in one.cell.inputs
    (two,) = planned_of(small(objectives=["listwise_kd"]))
    assert "objective_guide" not in two.cell.inputs


def test_two_guides_in_one_cell_are_skipped_with_the_reason(small: Build) -> None:
    raw = small(
        samplers=["in_batch", {"name": "guided", "guide": "static[dimension=16]"}],
        objectives=[{"name": "margin_mse", "guide": "static[dimension=32]"}],
    )
    (skip,) = (p.skip for p in planned_of(raw) if p.skip)
    assert "guided has the guide 'static[dimension=16]'" in skip
    assert "margin_mse has 'static[dimension=32]'" in skip
