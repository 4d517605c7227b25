"""Oracles and laws of the debiased losses and of supervised SimCSE."""

import math
from typing import Any

import pytest
import torch
from made_losses import every
from made_losses import loss_of as loss
from torch import Tensor
from torch.nn.functional import cross_entropy

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.testing.objectives import gradient, objective_cases
from nsbench.samplers import Selection, SimilarityContext, make
from nsbench.samplers.testing import make_context, of_views, two_views


def views(batch: int = 8, seed: int = 0) -> SimilarityContext:
    return of_views(*two_views(batch, seed=seed), both=True)


def by_formula(
    context: SimilarityContext,
    selection: Selection,
    *,
    t: float,
    prior: float,
    beta: float,
) -> list[float]:
    """The published formula in nested loops."""
    out = []
    for i in range(len(context.positive)):
        s = context.similarity[i].tolist()
        pos = math.exp(s[int(context.positive[i])] / t)
        chosen = [j for j in range(len(s)) if bool(selection.mask[i, j])]
        if not chosen:
            out.append(0.0)
            continue
        log = torch.zeros(len(s)) if selection.log_weight is None else selection.log_weight[i]
        count = sum(math.exp(log[j]) for j in chosen)
        weight = {j: math.exp(log[j] + beta * s[j] / t) for j in chosen}
        total = sum(weight.values())
        reweighted = count * sum(w * math.exp(s[j] / t) for j, w in weight.items()) / total
        ng = (reweighted - prior * count * pos) / (1 - prior)
        ng = max(ng, count * math.exp(-1 / t))
        out.append(-math.log(pos / (pos + ng)))
    return out


@pytest.mark.parametrize(("t", "prior"), [(0.5, 0.1), (0.2, 0.01), (0.1, 0.1), (0.05, 0.0)])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_debiased_losses_equal_nested_loops(t: float, prior: float, beta: float) -> None:
    objective = objectives.make("hard_debiased", temperature=t, prior=prior, beta=beta)
    plain = objectives.make("debiased", temperature=t, prior=prior)
    for context, selection in objective_cases(objective):
        if selection.attract is not None:
            continue
        slow = torch.tensor(by_formula(context, selection, t=t, prior=prior, beta=beta))
        fast = objective(context.similarity, context, selection)
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
        if beta == 0:
            fast = plain(context.similarity, context, selection)
            torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


def test_debiased_attraction_averages_over_all_positives() -> None:
    t, prior = 0.5, 0.1
    objective = objectives.make("debiased", temperature=t, prior=prior)
    for context, selection in objective_cases(objective):
        if selection.attract is None:
            continue
        fast = objective(context.similarity, context, selection)
        for i in range(len(context.positive)):
            row = context.similarity[i]
            chosen = row[selection.mask[i]].tolist()
            if not chosen:
                assert fast[i] == 0
                continue
            near = [row[context.positive[i]].item(), *row[selection.attract[i]].tolist()]
            pos = sum(math.exp(s / t) for s in near) / len(near)
            raw = sum(math.exp(s / t) for s in chosen) - prior * len(chosen) * pos
            ng = max(raw / (1 - prior), len(chosen) * math.exp(-1 / t))
            each = [-math.log(math.exp(s / t) / (math.exp(s / t) + ng)) for s in near]
            assert fast[i].item() == pytest.approx(sum(each) / len(each), rel=1e-4)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
def test_law_nt_xent_is_dcl_without_a_prior(temperature: float) -> None:
    context = views()
    plain = loss("nt_xent", context, temperature=temperature)
    debiased = loss("debiased", context, temperature=temperature, prior=0.0)
    torch.testing.assert_close(debiased, plain)


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_law_hcl_without_beta_is_dcl(variant: str) -> None:
    for prior in (0.0, 0.1):
        context = views()
        hard = loss("hard_debiased", context, beta=0.0, prior=prior, variant=variant)
        torch.testing.assert_close(hard, loss("debiased", context, prior=prior))


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_law_hcl_without_beta_and_prior_is_nt_xent(variant: str) -> None:
    context = views()
    hard = loss("hard_debiased", context, beta=0.0, prior=0.0, variant=variant)
    torch.testing.assert_close(hard, loss("nt_xent", context, temperature=0.5))


def test_law_hcl_loss_does_not_fall_with_beta() -> None:
    for seed in range(4):
        before = torch.zeros(16)
        for beta in (0.0, 0.5, 1.0, 2.0, 5.0):
            now = loss("hard_debiased", views(seed=seed), beta=beta)
            assert (now >= before - 1e-6).all()
            before = now


def test_law_hcl_large_beta_counts_only_the_hardest() -> None:
    context, t = views(), 0.5
    top = context.similarity.masked_fill(~context.negative_mask, -2).amax(dim=1)
    total = context.eligible[:, 0] * torch.exp(top / t)
    pos = torch.exp(context.positive_similarity / t)
    expected = -torch.log(pos / (pos + total))
    hard = loss("hard_debiased", context, beta=100.0, prior=0.0)
    torch.testing.assert_close(hard, expected, rtol=1e-2, atol=1e-2)


def test_law_hcl_detached_weights_push_like_a_softmax_of_lower_temperature() -> None:
    t, beta = 0.5, 1.5
    context = views()
    slope = gradient(
        objectives.make("hard_debiased", temperature=t, beta=beta, prior=0.0, variant="paper"),
        context,
        every(context),
    )
    share = slope.masked_fill(~context.negative_mask, 0)
    share = share / share.sum(dim=1, keepdim=True)
    logits = (context.similarity * (1 + beta) / t).masked_fill(~context.negative_mask, -torch.inf)
    torch.testing.assert_close(share, logits.softmax(dim=1), rtol=1e-4, atol=1e-6)


def test_law_hcl_official_attracts_the_easy_negatives() -> None:
    # dR/ds_j < 0 exactly where e^{s/t} < beta / (1 + beta) * A / B', A = sum e^{(1 + beta) s/t},
    # B' = sum e^{beta s/t}.
    t, beta = 0.5, 1.0
    context = views(16)
    official = objectives.make("hard_debiased", temperature=t, beta=beta, prior=0.0)
    slope = gradient(official, context, every(context))
    e = torch.exp(context.similarity / t) * context.negative_mask
    a = (e ** (1 + beta)).sum(dim=1, keepdim=True)
    b = (e**beta * context.negative_mask).sum(dim=1, keepdim=True)
    easy = context.negative_mask & (e < beta / (1 + beta) * a / b)
    assert easy.any()
    assert torch.equal((slope < 0) & context.negative_mask, easy)
    paper = objectives.make("hard_debiased", temperature=t, beta=beta, prior=0.0, variant="paper")
    assert (gradient(paper, context, every(context))[context.negative_mask] >= 0).all()


@pytest.mark.parametrize("name", ["debiased", "hard_debiased"])
def test_law_dcl_clamped_negatives_get_no_gradient(name: str) -> None:
    objective: Any = objectives.make(name, temperature=0.05)
    context = views()
    rate = objective.diagnostics(context.similarity, context, every(context))["clamp_rate"]
    slope = gradient(objective, context, every(context))
    rows = (slope * context.negative_mask == 0).all(dim=1)
    assert rate.item() == pytest.approx(rows.float().mean().item())
    assert rate > 0


def test_law_dcl_clamps_every_anchor_of_text_like_batches_at_a_low_temperature() -> None:
    draw = torch.Generator().manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(64, 256, generator=draw), dim=-1)
    b = torch.nn.functional.normalize(a + 0.02 * torch.randn(64, 256, generator=draw), dim=-1)
    context = of_views(a, b, both=True)
    rates = []
    for temperature in (0.05, 0.5):
        objective: Any = objectives.make("debiased", temperature=temperature)
        rates.append(
            objective.diagnostics(context.similarity, context, every(context))["clamp_rate"].item()
        )
    assert rates[0] == 1
    assert rates[1] == 0


def test_law_dcl_estimate_never_falls_below_its_floor() -> None:
    for t, prior in ((0.05, 0.1), (0.1, 0.5), (0.5, 0.9), (0.02, 0.99)):
        context = views()
        value = loss("debiased", context, temperature=t, prior=prior)
        count = context.eligible[:, 0]
        pos = context.positive_similarity / t
        least = torch.logaddexp(pos, torch.log(count) - 1 / t) - pos
        assert (value >= least - 1e-5).all()


def test_law_dcl_a_larger_prior_lowers_the_estimate_of_easy_negatives() -> None:
    context = views(16)
    t = 0.5
    e = torch.exp(context.similarity / t) * context.negative_mask
    mean = e.sum(dim=1) / context.eligible[:, 0]
    rows = mean < torch.exp(context.positive_similarity / t)
    assert rows.any()
    values = [loss("debiased", context, temperature=t, prior=p)[rows] for p in (0.0, 0.05, 0.1)]
    assert (values[0] > values[1]).all()
    assert (values[1] > values[2]).all()


@pytest.mark.parametrize("name", ["debiased", "hard_debiased"])
@pytest.mark.parametrize("temperature", [0.005, 0.05, 0.5])
def test_law_dcl_is_finite_for_all_inputs(name: str, temperature: float) -> None:
    objective = objectives.make(name, temperature=temperature, prior=0.3)
    for value in (-1.0, 0.0, 1.0):
        context = views()
        flat = context.replace(similarity=torch.full_like(context.similarity, value))
        assert torch.isfinite(objective(flat.similarity, flat, every(flat))).all()
        assert torch.isfinite(gradient(objective, flat, every(flat))).all()


def test_law_dcl_unclamped_gradient_is_balanced() -> None:
    for name in ("debiased", "hard_debiased"):
        objective = objectives.make(name, temperature=0.5, prior=0.01)
        context = views()
        slope = gradient(objective, context, every(context))
        torch.testing.assert_close(slope.sum(dim=1), torch.zeros(16), rtol=0, atol=1e-5)


def test_hcl_anneals_beta_down_in_nine_equal_steps() -> None:
    annealed = objectives.make("hard_debiased", beta=0.9, anneal="down")
    for progress, beta in ((0.0, 0.9), (0.05, 0.9), (0.15, 0.8), (0.55, 0.4), (0.95, 0), (1, 0)):
        context = views().replace(progress=torch.tensor(float(progress)))
        fixed = loss("hard_debiased", context, beta=float(beta))
        moving = annealed(context.similarity, context, every(context))
        torch.testing.assert_close(moving, fixed)


def test_hcl_anneals_beta_as_the_released_code_does() -> None:
    annealed = objectives.make("hard_debiased", beta=0.8, anneal="official")
    # linspace(beta, 0, 9), whose first value stands twice: a ninth of the training each
    for ninth, beta in enumerate((0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)):
        context = views().replace(progress=torch.tensor((ninth + 0.5) / 9))
        fixed = loss("hard_debiased", context, beta=beta)
        moving = annealed(context.similarity, context, every(context))
        torch.testing.assert_close(moving, fixed)
    end = views().replace(progress=torch.tensor(1.0))
    moving = annealed(end.similarity, end, every(end))
    torch.testing.assert_close(moving, loss("hard_debiased", end, beta=0.1))


def test_hcl_detached_without_prior_is_hard_reweighted_info_nce() -> None:
    t, beta = 0.3, 0.7
    context = views().replace(temperature=t)
    selection = make("hard_reweighted", beta=beta)(context)
    plain = objectives.make("nt_xent", temperature=t)
    whole = objectives.make("hard_debiased", temperature=t, beta=beta, prior=0.0, variant="paper")
    one = plain(context.similarity, context, selection)
    torch.testing.assert_close(one, whole(context.similarity, context, every(context)))
    torch.testing.assert_close(
        gradient(plain, context, selection), gradient(whole, context, every(context))
    )


# --- supervised SimCSE --------------------------------------------------------------------------


def triplets(batch: int = 6) -> SimilarityContext:
    """B positives, then each row's own hard negative."""
    a, b = two_views(batch)
    hard = two_views(batch, seed=5)[0]
    candidates = torch.cat([b, hard])
    allowed = ~torch.cat([torch.eye(batch), torch.zeros(batch, batch)], dim=1).bool()
    own = torch.cat([torch.zeros(batch, batch), torch.eye(batch)], dim=1).bool()
    return SimilarityContext(
        a @ candidates.T, torch.arange(batch), allowed, own_negative=own, anchors=a
    )


def test_sup_simcse_is_cross_entropy_over_positives_and_hard_negatives() -> None:
    context = triplets()
    for weight in (0.0, 1.5, -2.0):
        logits = context.similarity / 0.05
        logits = logits + weight * context.require("own_negative")
        expected = cross_entropy(logits, torch.arange(6), reduction="none")
        torch.testing.assert_close(loss("sup_simcse", context, hard_weight=weight), expected)


def test_law_sup_simcse_weight_multiplies_the_hard_negative() -> None:
    context, t, w = triplets(), 0.5, 3.0
    e = torch.exp(context.similarity / t)
    own = context.require("own_negative")
    total = e.sum(dim=1) + (w - 1) * (e * own).sum(dim=1)
    expected = torch.log(total) - context.positive_similarity / t
    got = loss("sup_simcse", context, temperature=t, hard_weight=math.log(w))
    torch.testing.assert_close(got, expected)


def test_law_sup_simcse_weight_of_minus_infinity_removes_the_own_hard_negative() -> None:
    context = triplets()
    gone = context.replace(negative_mask=context.negative_mask & ~context.require("own_negative"))
    got = loss("sup_simcse", context, hard_weight=-100.0)
    torch.testing.assert_close(got, loss("info_nce", gone))


def test_sup_simcse_says_what_is_missing() -> None:
    context = make_context(5, 14, needs=())
    with pytest.raises(ValueError, match="own_negative"):
        loss("sup_simcse", context, hard_weight=1.0)


# --- agreement ----------------------------------------------------------------------------------


def test_agreement_sup_simcse_with_multiple_negatives_ranking() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    a, b = two_views(6)
    hard = two_views(6, seed=5)[0]
    theirs = losses.MultipleNegativesRankingLoss(model=None, scale=20.0)
    expected = theirs.compute_loss_from_embeddings([a, b, hard], torch.zeros(6))
    mine = loss("sup_simcse", triplets()).mean()
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["absolute", "relative"])
@pytest.mark.parametrize("margin", [0.0, 0.1])
@pytest.mark.parametrize("both", [False, True])
def test_agreement_guided_with_gist_embed_loss(
    monkeypatch: pytest.MonkeyPatch, kind: str, margin: float, both: bool
) -> None:
    gist = pytest.importorskip("sentence_transformers.sentence_transformer.losses.gist_embed")
    a, b = two_views(10)
    guide_a, guide_b = (two_views(10, seed=s)[0] for s in (3, 4))  # often in doubt
    given = {"model": [a, b], "guide": [guide_a, guide_b]}
    monkeypatch.setattr(gist, "embed_columns", lambda model, features: given[model])
    theirs = gist.GISTEmbedLoss.__new__(gist.GISTEmbedLoss)
    torch.nn.Module.__init__(theirs)
    theirs.model, theirs.guide, theirs.must_retokenize = "model", "guide", False
    theirs.similarity_fct = torch.nn.CosineSimilarity(dim=-1)
    theirs.cross_entropy_loss = torch.nn.CrossEntropyLoss()
    theirs.temperature, theirs.margin, theirs.margin_strategy = 0.05, margin, kind
    theirs.contrast_anchors, theirs.contrast_positives = both, False
    theirs.gather_across_devices = False
    if both:  # there an anchor is its own candidate in the second block; bar it by the guide
        itself = torch.eye(10, dtype=torch.bool)
        plain = theirs.sim_matrix

        def sim_matrix(one: Tensor, two: Tensor) -> Tensor:
            s = plain(one, two)
            return s.masked_fill(itself, 9.0) if one is two is guide_a else s

        theirs.sim_matrix = sim_matrix
    expected = theirs.forward([{}, {}], torch.zeros(10))

    context = of_views(a, b, both=both)
    guide = of_views(guide_a, guide_b, both=both).similarity
    sampler = make("guided", margin=margin, margin_kind=kind)
    selection = sampler(context.replace(guide_similarity=guide))
    assert not torch.equal(selection.mask, context.negative_mask)
    # Their loss has no row for the positives as anchors; the first ten rows are the same.
    mine = loss("info_nce", context, selection, temperature=0.05)[:10].mean()
    torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)


def test_agreement_miners_with_pytorch_metric_learning() -> None:
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    a, b = two_views(10)
    context = of_views(a, b, both=True)
    labels = torch.arange(10).repeat(2)
    z = torch.cat([a, b])
    cosine = distances.CosineSimilarity()

    def chosen(miner: Any) -> Tensor:
        anchor, _, negative = miner(z, labels)
        nothing = torch.zeros_like(context.negative_mask)
        return nothing.index_put((anchor, negative), torch.tensor(True))

    theirs = chosen(miners.BatchHardMiner(distance=cosine))
    assert torch.equal(make("hard", k=1)(context).mask, theirs)
    theirs = chosen(
        miners.TripletMarginMiner(margin=0.4, type_of_triplets="semihard", distance=cosine)
    )
    mine = make("semi_hard", margin=0.4)(context).mask
    rows = theirs.any(dim=1)  # in the others ours falls back to all
    assert rows.any()
    assert torch.equal(mine[rows], theirs[rows])
