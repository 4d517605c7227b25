import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers.testing import make_context


@pytest.mark.parametrize("mode", ["remove_negative", "remove_row", "relabel"])
@pytest.mark.parametrize("among", ["own", "all"])
def test_judged_equals_nested_loops(mode: str, among: str) -> None:
    low, high = 0.0, 0.3
    sampler = make("judged", mode=mode, among=among, low=low, high=high)
    for seed in range(4):
        context = make_context(5, 14, seed=seed)
        picked = sampler(context)
        score, own = context.require("guide_similarity"), context.require("own_negative")
        for i in range(5):
            kept, attracted = set(), set()
            for j in range(14):
                if not context.negative_mask[i, j]:
                    continue
                s = float(score[i, j])
                if (among == "own" and not own[i, j]) or s < low:
                    kept.add(j)
                elif s > high:
                    attracted.add(j)
            if mode == "remove_row" and attracted:
                kept = set()
            assert {int(j) for j in picked.mask[i].nonzero()} == kept
            if mode == "relabel":
                assert {int(j) for j in picked.attract[i].nonzero()} == attracted
            else:
                assert picked.attract is None


def test_law_relabelling_by_the_truth_is_the_oracle() -> None:
    for seed in range(4):
        context = make_context(6, 40, seed=seed)
        for mode, oracle in (("relabel", "attraction"), ("remove_negative", "elimination")):
            one = make("judged", judge="truth", among="all", mode=mode)(context)
            two = make("oracle", mode=oracle)(context)
            assert torch.equal(one.mask, two.mask)
            if mode == "relabel":
                assert torch.equal(one.attract, two.attract)


def test_shares_that_the_judge_calls_positive_or_leaves_out() -> None:
    context = make_context(5, 14, seed=1)
    score, asked = context.require("guide_similarity"), context.negative_mask
    found = make("judged", among="all", low=0.0, high=0.3).diagnostics(context)
    scores = [float(score[i, j]) for i in range(5) for j in range(14) if asked[i, j]]
    positive = sum(s > 0.3 for s in scores) / len(scores)
    between = sum(0.0 <= s <= 0.3 for s in scores) / len(scores)
    assert 0 < positive < 1
    assert float(found["judged_positive"]) == pytest.approx(positive)
    assert float(found["judged_between"]) == pytest.approx(between)
