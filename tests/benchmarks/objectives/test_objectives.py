"""Nested-loop oracles, laws and agreement of the objectives with independent implementations."""

import math
from typing import Any

import pytest
import torch
from made_losses import Row, expect_loops, info_nce
from made_losses import loss_of as loss
from torch.nn.functional import cross_entropy, normalize

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.testing.objectives import gradient, objective_cases
from nsbench.samplers import Selection, SimilarityContext, make
from nsbench.samplers.testing import make_context, of_views, two_views, unit

# --- oracles ------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_info_nce_equals_nested_loops(temperature: float) -> None:
    for name in ("info_nce", "nt_xent"):
        made = objectives.make(name, temperature=temperature)
        expect_loops(made, lambda row, context, rows: info_nce(row, temperature), tolerance=1e-4)


def test_triplet_equals_nested_loops() -> None:
    def mean(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        hinges = [(max(0.0, 0.3 + s - row.s_pos), w) for s, w in row.negatives]
        return sum(h * w for h, w in hinges) / sum(w for _, w in hinges)

    def active(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        both = [(h, w) for s, w in row.negatives if (h := 0.3 + s - row.s_pos) > 0]
        return sum(h * w for h, w in both) / sum(w for _, w in both) if both else 0.0

    for reduce, formula in (("mean", mean), ("active", active)):
        expect_loops(objectives.make("triplet", margin=0.3, reduce=reduce), formula, attract=False)


def test_truncated_triplet_equals_nested_loops() -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        deputy = sum(w * -2 * s for s, w in row.negatives) / sum(w for _, w in row.negatives)
        return max(0.0, 1.5 + 1.2 * -2 * row.s_pos - deputy)

    made = objectives.make("truncated_triplet", margin=1.5, gamma=1.2)
    expect_loops(made, formula, attract=False)


# --- laws ---------------------------------------------------------------------------------------


def test_law_general_identical_negatives_have_a_closed_form() -> None:
    for c, s_pos in ((0.2, 0.7), (-0.5, 0.1), (0.9, 0.3)):
        context = make_context(4, 9, needs=(), ineligible=0.0)
        flat = torch.full_like(context.similarity, c)
        context = context.replace(similarity=flat.scatter(1, context.positive[:, None], s_pos))
        expected = math.log(1 + 8 * math.exp((c - s_pos) / 0.2))
        got = loss("info_nce", context, temperature=0.2)
        torch.testing.assert_close(got, torch.full((4,), expected))


def test_law_general_removing_a_negative_lowers_info_nce() -> None:
    context = make_context(4, 10, needs=(), ineligible=0.0)
    full = loss("info_nce", context, temperature=0.2)
    for j in range(10):
        mask = context.negative_mask.clone()
        was = mask[:, j].clone()
        mask[:, j] = False
        less = loss("info_nce", context, Selection(mask=mask), temperature=0.2)
        assert (less[was] < full[was]).all()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_law_general_dropping_the_hardest_lowers_info_nce_most(share: float) -> None:
    context = make_context(4, 41, needs=(), ineligible=0.0)
    hardest = loss("info_nce", context, make("drop_band", high=share)(context), temperature=0.2)
    for low in (0.1, 0.3, 0.5):
        other = make("drop_band", low=low, high=low + share)(context)
        assert (hardest <= loss("info_nce", context, other, temperature=0.2) + 1e-6).all()


def test_law_general_scaling_raw_embeddings_changes_nothing() -> None:
    draw = torch.Generator().manual_seed(0)
    raw = torch.randn(5, 8, generator=draw)
    views = [of_views(*normalize(torch.stack([x, x.roll(1, 0)]), dim=-1)) for x in (raw, 7 * raw)]
    for name in ("info_nce", "triplet"):
        torch.testing.assert_close(*(loss(name, context) for context in views))


def test_law_general_gradient_is_orthogonal_to_the_raw_embedding() -> None:
    raw = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    other = unit(6, 8, generator=torch.Generator().manual_seed(1))
    similarity = normalize(raw, dim=-1) @ other.T
    context = of_views(normalize(raw.detach(), dim=-1), other)
    for name in ("info_nce", "truncated_triplet"):
        objective = objectives.make(name)
        total = objective(similarity, context, make("in_batch")(context)).sum()
        (slope,) = torch.autograd.grad(total, raw, retain_graph=True)
        inner = (slope * raw).sum(dim=1).abs()
        assert (inner <= 1e-4 * (slope.norm(dim=1) * raw.norm(dim=1) + 1e-6)).all()


def test_law_general_low_temperature_is_a_hinge_on_the_hardest() -> None:
    context = make_context(6, 20, needs=(), ineligible=0.0)
    t = 0.001
    worst = context.similarity.masked_fill(~context.negative_mask, -torch.inf).amax(dim=1)
    hinge = torch.relu(worst - context.positive_similarity) / t
    torch.testing.assert_close(loss("info_nce", context, temperature=t), hinge, rtol=1e-2, atol=1.0)


def test_law_nt_xent_equals_cross_entropy_with_masked_self() -> None:
    a, b = two_views()
    z = torch.cat([a, b])
    logits = (z @ z.T / 0.1).fill_diagonal_(-torch.inf)
    target = torch.arange(12).roll(6)
    expected = cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(loss("nt_xent", of_views(a, b, both=True)), expected)


def test_law_consert_code_loss_is_three_tenths_of_the_papers() -> None:
    a, b = two_views()
    logits = torch.cat([a @ b.T, (a @ a.T).fill_diagonal_(-1e9)], dim=1) / 0.1
    mirror = torch.cat([b @ a.T, (b @ b.T).fill_diagonal_(-1e9)], dim=1) / 0.1
    code = cross_entropy(logits, torch.arange(6)) + cross_entropy(mirror, torch.arange(6))
    paper = loss("nt_xent", of_views(a, b, both=True)).mean()
    torch.testing.assert_close(code, 2 * paper)
    official = loss("nt_xent", of_views(a, b, both=True), variant="official").mean()
    torch.testing.assert_close(official, 0.15 * code)


def test_law_symmetric_in_batch_ignores_which_view_is_which() -> None:
    a, b = two_views()
    one, other = loss("info_nce", of_views(a, b)).mean(), loss("info_nce", of_views(b, a)).mean()
    assert abs(float(one - other)) > 1e-3
    both = loss("nt_xent", of_views(a, b, both=True)).mean()
    torch.testing.assert_close(both, loss("nt_xent", of_views(b, a, both=True)).mean())


def test_law_official_truncated_triplet_is_linear() -> None:
    context = make_context(6, 40, needs=())
    selection = make("median_triplet", variant="official")(context)
    objective = objectives.make("truncated_triplet", variant="official")
    deputy = (context.similarity * selection.mask).sum(dim=1) / selection.mask.sum(dim=1)
    expected = 100 - 4 * context.positive_similarity + 2 * deputy
    torch.testing.assert_close(objective(context.similarity, context, selection), expected)
    assert objective.diagnostics(context.similarity, context, selection)["hinge_active"] == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("margin", [6.0, 30.0, 100.0])
def test_law_truncated_triplet_gradient_ignores_margins_from_six(margin: float) -> None:
    objective = objectives.make("truncated_triplet", margin=margin, gamma=2.0)
    official = objectives.make("truncated_triplet", variant="official")
    for context, selection in objective_cases(objective):
        same = gradient(official, context, selection)
        assert torch.equal(gradient(objective, context, selection), same)


def test_law_batch_hard_is_at_least_the_mean_triplet() -> None:
    for seed in range(4):
        context = make_context(6, 20, needs=(), seed=seed)
        hard = loss("triplet", context, make("hard", k=1)(context), margin=0.5)
        mean = loss("triplet", context, make("in_batch")(context), margin=0.5)
        assert (hard >= mean - 1e-6).all()


def test_triplet_counts_the_share_of_active_hinges() -> None:
    similarity = torch.tensor([[0.5, 0.6, 0.45, 0.1, -0.2]])
    mask = torch.tensor([[False, True, True, True, True]])
    context = SimilarityContext(similarity, torch.tensor([0]), mask)
    objective: Any = objectives.make("triplet", margin=0.1)
    share = objective.diagnostics(similarity, context, Selection(mask=mask))["hinge_active"]
    assert share.item() == pytest.approx(0.5)


# --- agreement ----------------------------------------------------------------------------------


def test_agreement_in_batch_with_info_nce_is_cross_entropy() -> None:
    a, b = two_views(12)
    expected = cross_entropy(a @ b.T / 0.05, torch.arange(12), reduction="none")
    torch.testing.assert_close(loss("info_nce", of_views(a, b)), expected, rtol=1e-5, atol=1e-5)


def test_agreement_in_batch_with_multiple_negatives_ranking() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    a, b = two_views(12)
    theirs = losses.MultipleNegativesRankingLoss(model=None, scale=20.0)
    expected = theirs.compute_loss_from_embeddings([a, b], torch.zeros(12))
    mine = loss("info_nce", of_views(a, b), temperature=1 / 20.0).mean()
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)


def test_agreement_nt_xent_with_pytorch_metric_learning() -> None:
    theirs = pytest.importorskip("pytorch_metric_learning.losses").NTXentLoss(temperature=0.1)
    a, b = two_views(8)
    labels = torch.arange(8)
    expected = theirs(torch.cat([a, b]), torch.cat([labels, labels]))
    mine = loss("nt_xent", of_views(a, b, both=True)).mean()
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)


def test_agreement_batch_hard_triplet_with_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    a, b = two_views(8)
    theirs = losses.BatchHardTripletLoss(
        model=None,
        distance_metric=losses.BatchHardTripletLossDistanceFunction.cosine_distance,
        margin=0.3,
    )
    labels = torch.arange(8).repeat(2)
    expected = theirs.compute_loss_from_embeddings([torch.cat([a, b])], labels)
    context = of_views(a, b, both=True)
    mine = loss("triplet", context, make("hard", k=1)(context), margin=0.3).mean()
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)


def test_agreement_semi_hard_triplet_with_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    theirs = losses.BatchSemiHardTripletLoss(
        model=None,
        distance_metric=losses.BatchHardTripletLossDistanceFunction.cosine_distance,
        margin=0.3,
    )
    sampler = make("semi_hard", margin=2.0, keep="hardest", fallback="easiest")
    for seed in range(4):
        a, b = two_views(8, seed=seed)
        labels = torch.arange(8).repeat(2)
        expected = theirs.compute_loss_from_embeddings([torch.cat([a, b])], labels)
        context = of_views(a, b, both=True)
        mine = loss("triplet", context, sampler(context), margin=0.3).mean()
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)
