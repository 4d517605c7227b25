import torch

from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import make
from nsbench.samplers.testing import answer, make_context


def test_complementary_equals_nested_loops() -> None:
    context = make_context(5, 12)
    guide = context.require("guide_similarity")
    mask = make("complementary", phi=0.2)(context).mask
    for i in range(5):
        for j in range(12):
            kept = bool(context.negative_mask[i, j]) and guide[i, j].item() < 0.2
            assert bool(mask[i, j]) == kept


def test_law_dclr_phi_above_one_is_simcse() -> None:
    context = make_context(6, 30)
    assert torch.equal(make("complementary", phi=1.5)(context).mask, context.negative_mask)


def test_law_dclr_phi_at_minus_one_masks_every_negative() -> None:
    context = make_context(6, 30)
    assert not make("complementary", phi=-1.0)(context).mask.any()


def test_complementary_official_multiplies_logits_by_zero() -> None:
    # The released code: logits of dropped negatives times 0, so that each leaves e^0 = 1.
    t, phi = 0.3, 0.2
    sampler = make("complementary", phi=phi, variant="official")
    objective = objectives.make("info_nce", temperature=t)
    for seed in range(4):
        context = make_context(6, 30, seed=seed)
        guide = context.require("guide_similarity")
        live = context.similarity.clone().requires_grad_()
        logits = torch.where(guide >= phi, 0.0, 1.0) * live / t
        own = live.gather(1, context.positive[:, None]) / t
        logits = logits.masked_fill(~context.negative_mask, -torch.inf)
        rows = context.negative_mask.any(dim=1)
        expected = torch.logsumexp(torch.cat([own, logits], dim=1), dim=1) - own[:, 0]
        (slope,) = torch.autograd.grad(expected[rows].sum(), live)

        seen, selection = answer(sampler, context)
        wide = seen.similarity.clone().requires_grad_()
        loss = objective(wide, seen, selection)
        torch.testing.assert_close(loss[rows], expected.detach()[rows])
        (mine,) = torch.autograd.grad(loss[rows].sum(), wide)
        torch.testing.assert_close(mine[:, :30], slope)  # the zero column itself moves nothing
        assert (seen.similarity[:, 30] == 0).all()
