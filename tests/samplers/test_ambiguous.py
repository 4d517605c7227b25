import math
from typing import Any

import pytest
import torch

from nsbench.samplers import make
from nsbench.samplers.testing import chosen, make_context, one_row, permute_rows


def test_ambiguous_equals_the_formula_in_loops() -> None:
    for variant, sign in (("paper", -1), ("official", 1)):
        sampler: Any = make("ambiguous", a=7.0, b=0.2, variant=variant)
        context = make_context(5, 12, needs=())
        fast = sampler.log_weight(context)
        for i in range(5):
            s_pos = context.similarity[i, context.positive[i]].item()
            for j in range(12):
                gap = context.similarity[i, j].item() - s_pos
                assert fast[i, j].item() == pytest.approx(-7 * (gap + sign * 0.2) ** 2, abs=1e-4)


def test_ambiguous_draws_without_replacement_by_its_weights() -> None:
    # Sequential draws without replacement: P(first draw or second draw is j), worked out by hand
    # over the ordered pairs. 20000 rows: standard deviation of a count at most 71.
    sampler: Any = make("ambiguous", k=2, a=20.0)
    context = one_row([0.5, 0.5, 0.3, 0.7, 0.1])
    p = torch.softmax(sampler.log_weight(context)[0, 1:], dim=0).tolist()
    expected = [p[j] + sum(p[i] * p[j] / (1 - p[i]) for i in range(4) if i != j) for j in range(4)]
    assert math.isclose(sum(expected), 2, rel_tol=1e-6)
    many = permute_rows(context, torch.zeros(20000, dtype=torch.int64))
    many = many.replace(generator=torch.Generator().manual_seed(0))
    counts = sampler(many).mask.sum(dim=0)[1:]
    assert (counts - 20000 * torch.tensor(expected)).abs().max() < 6 * 71


def test_law_simans_a_zero_is_uniform() -> None:
    sampler: Any = make("ambiguous", a=0.0)
    assert (sampler.log_weight(make_context(5, 12, needs=())) == 0).all()


def test_law_simans_large_a_is_the_nearest_to_the_peak() -> None:
    for b in (0.0, 0.15, -0.3):
        sampler = make("ambiguous", k=1, a=1e8, b=b)
        for seed in range(3):
            context = make_context(6, 20, needs=(), seed=seed)
            gap = (context.similarity - context.positive_similarity[:, None] - b).abs()
            nearest = gap.masked_fill(~context.negative_mask, torch.inf).argmin(dim=1)
            assert chosen(sampler(context).mask) == [{int(j)} for j in nearest]


def test_law_simans_is_blind_to_shifts_but_not_to_scale() -> None:
    sampler = make("ambiguous", k=3, a=50.0)
    context = make_context(6, 40, needs=(), seed=1)

    def drawn(similarity: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(4)
        return sampler(context.replace(similarity=similarity, generator=generator)).mask

    plain = drawn(context.similarity / 4)
    assert torch.equal(plain, drawn(context.similarity / 4 + 0.25))
    assert not torch.equal(plain, drawn(context.similarity))


def test_law_simans_draws_no_duplicates_and_no_positives() -> None:
    for seed in range(5):
        context = make_context(6, 20, needs=(), seed=seed)
        mask = make("ambiguous", k=7)(context).mask
        expected = context.eligible[:, 0].clamp(max=7)
        assert torch.equal(mask.sum(dim=1), expected)  # k different ones, or all of fewer
        assert not mask.gather(1, context.positive[:, None]).any()


def test_ambiguous_official_peaks_on_the_other_side() -> None:
    context = make_context(6, 40, needs=())
    paper: Any = make("ambiguous", b=0.3)
    official: Any = make("ambiguous", b=-0.3, variant="official")
    assert torch.equal(paper.log_weight(context), official.log_weight(context))


def test_ambiguous_draws_only_from_the_top() -> None:
    context = make_context(6, 40, needs=(), ineligible=0.0)
    mask = make("ambiguous", k=5, a=0.0, top=8)(context).mask
    assert (mask & ~make("hard", k=8)(context).mask).sum() == 0
