import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers.testing import chosen, make_context


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_guided_equals_nested_loops(kind: str) -> None:
    sampler = make("guided", margin=0.2, margin_kind=kind)
    for seed in range(4):
        context = make_context(5, 12, seed=seed)
        guide = context.require("guide_similarity") - 0.5  # positives below and above 0
        mask = chosen(sampler(context.replace(guide_similarity=guide)).mask)
        for i in range(5):
            g_pos = guide[i, context.positive[i]].item()
            limit = g_pos - (0.2 * abs(g_pos) if kind == "relative" else 0.2)
            allowed = [j for j in range(12) if bool(context.negative_mask[i, j])]
            assert mask[i] == {j for j in allowed if guide[i, j].item() <= limit}


def test_law_gist_with_a_guide_that_agrees_is_in_batch() -> None:
    context = make_context(6, 30)
    sure = context.require("guide_similarity").scatter(1, context.positive[:, None], 1.0)
    agrees = context.replace(guide_similarity=sure)
    assert torch.equal(make("guided")(agrees).mask, context.negative_mask)
    assert not torch.equal(make("guided", margin=0.6)(agrees).mask, context.negative_mask)


def test_law_gist_masks_more_with_a_wider_margin() -> None:
    context = make_context(6, 30)
    before = make("guided", margin=0.0)(context).mask
    for margin in (0.1, 0.3, 0.6, 1.0):
        mask = make("guided", margin=margin)(context).mask
        assert not (mask & ~before).any()
        before = mask
    assert not torch.equal(before, make("guided")(context).mask)


def test_law_gist_is_blind_to_shifts_or_to_scale() -> None:
    context = make_context(6, 30)
    guide = context.require("guide_similarity")
    absolute, relative = (
        make("guided", margin=0.25),
        make("guided", margin=0.25, margin_kind="relative"),
    )
    moved = context.replace(guide_similarity=guide - 0.375)
    assert torch.equal(absolute(context).mask, absolute(moved).mask)
    scaled = context.replace(guide_similarity=0.5 * guide)
    assert torch.equal(relative(context).mask, relative(scaled).mask)
    assert not torch.equal(relative(context).mask, relative(moved).mask)


def test_guided_spares_own_negatives_if_asked() -> None:
    for seed in range(4):
        context = make_context(6, 40, seed=seed)
        own = context.require("own_negative") & context.negative_mask
        hit = make("guided", margin=0.5)(context).mask
        spared = make("guided", margin=0.5, curated="exempt")(context).mask
        assert torch.equal(spared, hit | own)
        assert (own & ~hit).any()
