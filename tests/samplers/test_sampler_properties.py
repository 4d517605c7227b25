"""Laws of samplers on generated contexts: any size, layout and eligibility, and many ties."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nsbench.samplers import make, samplers
from nsbench.samplers._laws import expect_sound, refresh
from nsbench.samplers.testing import answer, configurations, make_context, needs_of, same


@pytest.mark.parametrize("case", configurations(samplers), ids=str)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 7),
    more=st.integers(0, 30),
    layout=st.sampled_from(["one", "both"]),
    ineligible=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    decimals=st.integers(0, 6),
)
def test_laws_hold_on_any_context(
    case: tuple[str, dict[str, Any]],
    seed: int,
    batch: int,
    more: int,
    layout: str,
    ineligible: float,
    decimals: int,
) -> None:
    name, given_ = case
    sampler = make(name, **given_)
    context = make_context(
        batch,
        batch + more,
        layout=layout,
        needs=needs_of(sampler),
        ineligible=ineligible,
        seed=seed,
    )
    context = context.replace(similarity=context.similarity.round(decimals=decimals))
    seen, picked = answer(sampler, refresh(context, seed))
    expect_sound(seen, picked)
    own = torch.zeros_like(seen.negative_mask).scatter(1, seen.positive[:, None], True)
    assert not (picked.mask & own).any()
    if picked.attract is not None:
        assert not (picked.attract & (picked.mask | ~seen.negative_mask)).any()
    if not getattr(sampler, "may_empty", False):
        assert (picked.mask.any(dim=-1) == seen.negative_mask.any(dim=1)).all()
    assert same(picked, answer(sampler, refresh(context, seed))[1])
