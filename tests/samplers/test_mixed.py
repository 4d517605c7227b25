import math
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import make
from nsbench.samplers.testing import answer, make_context

NEEDS = ("anchors", "candidates")


def test_mixed_adds_its_candidates_as_synthetic_columns() -> None:
    context = make_context(5, 20, needs=NEEDS)
    seen, selection = answer(make("mixed", pairs=3, with_anchor=2), context)
    assert seen.similarity.shape == (5, 25)
    assert seen.synthetic.tolist() == [False] * 20 + [True] * 5
    assert selection.mask[:, 20:].all()


def test_mixed_gives_nothing_to_a_row_without_candidates() -> None:
    context = make_context(5, 20, needs=NEEDS)
    bare = context.negative_mask.clone()
    bare[2] = False
    _, selection = answer(make("mixed"), context.replace(negative_mask=bare))
    assert not selection.mask[2].any()


def test_mochi_pairs_lie_between_two_of_the_hardest() -> None:
    context = make_context(5, 20, needs=NEEDS)
    sampler: Any = make("mixed", hardest=3, pairs=6, with_anchor=0)
    made = sampler.synthesize(context)
    torch.testing.assert_close(made.norm(dim=-1), torch.ones(5, 6))
    hardest = make("hard", k=3)(context).mask
    for i in range(5):
        near = context.require("candidates")[hardest[i]]  # (3, d)
        for h in made[i]:
            found = False
            for a in near:
                for b in near:
                    share = torch.linalg.lstsq(torch.stack([a, b], dim=1), h).solution
                    fits = torch.dist(torch.stack([a, b], dim=1) @ share, h) < 1e-4
                    found = found or bool(fits and (share > -1e-4).all())
            assert found


def test_law_mochi_mixing_in_the_anchor_is_harder_than_the_negative() -> None:
    # Type 2 is norm(b q + (1 - b) n): more similar to q than n is, for every b > 0 and n != q.
    for seed in range(5):
        context = make_context(6, 30, needs=NEEDS, seed=seed)
        sampler: Any = make("mixed", hardest=1, pairs=0, with_anchor=8)
        seen, _ = answer(sampler, context)
        hardest = context.similarity.masked_fill(~context.negative_mask, -2).amax(dim=1)
        rows = context.negative_mask.any(dim=1)
        assert (seen.similarity[rows, 30:] >= hardest[rows, None] - 1e-6).all()
        assert (seen.similarity[rows, 30:] > hardest[rows, None]).float().mean() > 0.9


def test_mixcse_mixes_the_positive_with_an_eligible_negative() -> None:
    context = make_context(5, 20, needs=NEEDS)
    made = make("mixed", kind="mixcse").synthesize(context)  # type: ignore[attr-defined]
    candidates = context.require("candidates")
    assert made.shape == (5, 1, 8)
    for i in range(5):
        mixes = normalize(0.2 * candidates[context.positive[i]] + 0.8 * candidates, dim=-1)
        same = (mixes - made[i]).norm(dim=-1) < 1e-5
        assert (same & context.negative_mask[i]).sum() == 1


def test_law_mixcse_weight_zero_duplicates_a_negative() -> None:
    context = make_context(5, 20, needs=NEEDS)
    made = make("mixed", kind="mixcse", weight=0.0).synthesize(context)  # type: ignore[attr-defined]
    for i in range(5):
        same = (context.require("candidates") - made[i]).norm(dim=-1) < 1e-5
        assert (same & context.negative_mask[i]).any()


def test_law_mixcse_weight_one_costs_at_least_log_two() -> None:
    context = make_context(5, 20, needs=NEEDS)
    seen, selection = answer(make("mixed", kind="mixcse", weight=1.0), context)
    torch.testing.assert_close(seen.similarity[:, 20], context.positive_similarity)
    loss = objectives.make("info_nce")(seen.similarity, seen, selection)
    assert (loss[context.negative_mask.any(dim=1)] >= math.log(2) - 1e-6).all()


@pytest.mark.parametrize("kind", ["mochi", "mixcse"])
def test_law_mixed_lets_no_gradient_into_what_it_mixes(kind: str) -> None:
    context = make_context(5, 20, needs=NEEDS)
    made = make("mixed", kind=kind).synthesize(context)  # type: ignore[attr-defined]
    assert not made.requires_grad


def test_mixed_lets_another_sampler_choose() -> None:
    context = make_context(5, 20, needs=NEEDS)
    seen, selection = answer(make("mixed", then="hard[k=4]"), context)
    assert torch.equal(selection.mask, make("hard", k=4)(seen).mask)
