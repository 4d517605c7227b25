"""Mixes of own negatives: as nested loops, only for those who have any, by a Beta's shares."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nsbench.samplers import SimilarityContext, make
from nsbench.samplers.testing import answer, make_context

NEEDS = ("anchors", "candidates", "own_negative")


def own_of(context: SimilarityContext, row: int) -> list[int]:
    own = context.require("own_negative") & context.negative_mask
    return [int(j) for j in own[row].nonzero()]


def with_own(seed: int = 0, *counts: int) -> SimilarityContext:
    """A context in which the first rows have so many own negatives, the others none."""
    context = make_context(6, 30, needs=NEEDS, seed=seed)
    own = torch.zeros_like(context.negative_mask)
    for row, count in enumerate(counts):
        free = context.negative_mask[row].nonzero()[:count, 0]
        own[row, free] = True
    return context.replace(own_negative=own)


def shares(parts: Tensor, mix: Tensor) -> Tensor:
    """Shares, summing to 1, with which a mix was made before it was normalised."""
    found: Tensor = torch.linalg.lstsq(parts.T.double(), mix.double()).solution
    assert torch.dist(parts.T.double() @ found, mix.double()) < 1e-4
    return found / found.sum()


def test_the_list_mixes_all_own_negatives_by_a_softmax() -> None:
    context = with_own(0, 3, 5, 1)
    made = make("mixed_own", pairs=0).made(context)  # type: ignore[attr-defined]
    candidates = context.require("candidates")
    for row in range(3):
        own = own_of(context, row)
        weight = [float(context.similarity[row, j]) / context.temperature for j in own]
        top = max(weight)
        total = sum(2.718281828459045 ** (w - top) for w in weight)
        mix = torch.zeros(8)
        for j, w in zip(own, weight, strict=True):
            mix += 2.718281828459045 ** (w - top) / total * candidates[j]
        torch.testing.assert_close(made[row, 0], normalize(mix, dim=0), rtol=1e-5, atol=1e-6)


def test_a_pair_mixes_two_different_own_negatives() -> None:
    context = with_own(1, 2, 4, 6)
    made = make("mixed_own", pairs=12, lists=0).made(context)  # type: ignore[attr-defined]
    candidates = context.require("candidates")
    for row in range(3):
        own = own_of(context, row)
        seen = set()
        for mix in made[row]:
            fits = [
                (a, b)
                for a in own
                for b in own
                if a < b
                and (s := torch.linalg.lstsq(candidates[[a, b]].T, mix).solution).min() > 0
                and torch.dist(candidates[[a, b]].T @ s, mix) < 1e-4
            ]
            assert len(fits) == 1
            seen.add(fits[0])
        assert len(seen) > 1 or len(own) == 2


def test_an_anchor_without_own_negatives_chooses_no_mix() -> None:
    context = with_own(2, 3, 1)
    seen, picked = answer(make("mixed_own", pairs=2), context)
    assert seen.similarity.shape == (6, 33)
    assert picked.mask[:2, 30:].all()
    assert not picked.mask[2:, 30:].any()
    assert torch.equal(picked.mask[:, :30], context.negative_mask)
    # what the choosing sampler makes for itself is left alone
    seen, picked = answer(make("mixed_own", pairs=2, then="noise"), context)
    assert not picked.mask[2:, 30:33].any()
    assert picked.mask[2:, 33:].all()


@pytest.mark.parametrize("concentration", [1, 2, 6])
def test_shares_of_pairs_follow_the_beta_distribution(concentration: int) -> None:
    context = with_own(3, 2)
    sampler: Any = make("mixed_own", pairs=4000, lists=0, concentration=concentration)
    made, pair = sampler.made(context)[0], context.require("candidates")[own_of(context, 0)]
    share = torch.stack([shares(pair, mix)[0] for mix in made[:1500]])
    assert float(share.mean()) == pytest.approx(0.5, abs=0.03)
    variance = 1 / (4 * (2 * concentration + 1))
    assert float(share.var()) == pytest.approx(variance, rel=0.15)


def test_law_mixes_of_a_single_own_negative_are_copies_of_it() -> None:
    context = with_own(4, 1)
    made = make("mixed_own").made(context)  # type: ignore[attr-defined]
    only = context.require("candidates")[own_of(context, 0)[0]]
    torch.testing.assert_close(made[0], only.expand(5, 8), rtol=1e-5, atol=1e-6)
