import pytest
import torch

from nsbench.samplers import SimilarityContext, make
from nsbench.samplers.testing import chosen, expect_oracle, make_context, one_row


def masks(context: SimilarityContext, margin: float, **given: str) -> torch.Tensor:
    return make("margin_mask", margin=margin, **given)(context).mask


@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.1, 0.5])
def test_margin_mask_keeps_what_is_not_far_above_the_positive(margin: float) -> None:
    def rule(row: list[float], s_pos: float, hardest_first: list[int]) -> list[int]:
        bound = float(torch.tensor(s_pos) + margin)
        return [j for j in hardest_first if row[j] <= bound]

    expect_oracle(make("margin_mask", margin=margin, curated="mask"), rule)


def test_margin_mask_spares_own_negatives_unless_asked() -> None:
    for seed in range(4):
        context = make_context(6, 30, seed=seed)
        own = context.require("own_negative") & context.negative_mask
        spared, hit = masks(context, -0.3), masks(context, -0.3, curated="mask")
        assert (spared & own).sum() == own.sum()
        assert (hit & own).sum() < own.sum()
        assert torch.equal(spared & ~own, hit & ~own)


def test_margin_mask_counts_the_own_negatives_it_would_have_hit() -> None:
    context = one_row([0.5, 0.9, 0.7, 0.55, 0.95])
    own = torch.tensor([[False, True, False, True, False]])
    context = context.replace(own_negative=own)
    for curated in ("exempt", "mask"):
        sampler = make("margin_mask", curated=curated)
        assert sampler.diagnostics(context) == {"own_masked": torch.tensor(0.5)}
    nothing = context.replace(own_negative=torch.zeros_like(own))
    assert make("margin_mask").diagnostics(nothing) == {"own_masked": torch.tensor(0.0)}


def test_law_margin_mask_is_nested_in_the_margin() -> None:
    for seed in range(4):
        context = make_context(6, 40, seed=seed)
        last = torch.zeros_like(context.negative_mask)
        for margin in (-2.0, -0.5, 0.0, 0.1, 0.4, 2.0):
            mask = masks(context, margin)
            assert not (last & ~mask).any(), "a wider margin dropped more"
            last = mask
        assert torch.equal(last, context.negative_mask), "a margin of 2 dropped something"


def test_law_a_copy_of_the_positive_survives_the_margin() -> None:
    context = one_row([0.8, 0.8, 0.91, 0.3]).replace(own_negative=torch.zeros(1, 4) > 0)
    assert chosen(masks(context, 0.1)) == [{1, 3}]


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 1.0])
def test_threshold_mask_keeps_what_lies_below(threshold: float) -> None:
    def rule(row: list[float], s_pos: float, hardest_first: list[int]) -> list[int]:
        return [j for j in hardest_first if row[j] <= threshold]

    expect_oracle(make("threshold_mask", threshold=threshold, curated="mask"), rule)


def test_law_threshold_mask_is_blind_to_the_positive() -> None:
    context = make_context(6, 40, seed=3)
    moved = context.similarity.scatter(1, context.positive[:, None], -1.0)
    sampler = make("threshold_mask", threshold=0.2)
    assert torch.equal(sampler(context).mask, sampler(context.replace(similarity=moved)).mask)
    assert not torch.equal(
        masks(context, 0.0, curated="mask"),
        masks(context.replace(similarity=moved), 0.0, curated="mask"),
    )


def test_threshold_mask_counts_the_own_negatives_it_would_have_hit() -> None:
    own = torch.tensor([[False, True, True, True, False]])
    context = one_row([0.5, 0.9, 0.2, 0.1, 0.95]).replace(own_negative=own)
    found = make("threshold_mask").diagnostics(context)["own_masked"]
    torch.testing.assert_close(found, torch.tensor(1 / 3))


def test_margin_mask_official_spares_what_is_compared_with_the_positive() -> None:
    for seed in range(4):
        context = make_context(6, 40, seed=seed)
        paper = masks(context, -0.3, curated="mask")
        official = masks(context, -0.3, curated="mask", variant="official")
        spared = context.require("of_positive")[None, :] & context.negative_mask
        assert torch.equal(official, paper | spared)
        assert (official & ~paper).any()
