"""Exact search against a sort of all scores, on generated corpora full of ties."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nsbench.benchmarks.search.exact import joined, top_k

WAYS: list[dict[str, Any]] = [{"product": "fp32"}, {"product": "bf16"}, {"backend": "faiss"}]


@pytest.mark.parametrize("way", WAYS, ids=str)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    queries=st.integers(1, 12),
    size=st.integers(1, 400),
    width=st.integers(1, 9),
    k=st.integers(1, 40),
    excluded=st.integers(0, 5),
    parts=st.integers(1, 4),
)
def test_top_k_is_the_start_of_the_sorted_scores(
    way: dict[str, Any],
    seed: int,
    queries: int,
    size: int,
    width: int,
    k: int,
    excluded: int,
    parts: int,
) -> None:
    """Whole numbers are exact in every product, so equal scores are ties, and go to lower ids."""
    draw = torch.Generator().manual_seed(seed)
    left = torch.randint(-2, 3, (queries, width), generator=draw).float()
    right = torch.randint(-2, 3, (size, width), generator=draw).float()
    exclude = torch.randint(-1, size, (queries, excluded), generator=draw)
    scores = left @ right.T
    for row, ids in enumerate(exclude):
        scores[row, ids[ids >= 0]] = -torch.inf
    best = scores.sort(dim=1, descending=True, stable=True)
    wanted = torch.full((queries, k), -1)
    places = min(k, size)
    real = best.values[:, :places] > -torch.inf
    wanted[:, :places] = torch.where(real, best.indices[:, :places], -1)
    found = top_k(left, right, k, exclude=exclude, **way)
    assert torch.equal(found.ids, wanted)
    assert torch.equal(found.scores[:, :places], best.values[:, :places])
    stream = top_k(left, iter(right.split(-(-size // parts))), k, exclude=exclude, **way)
    assert torch.equal(stream.ids, wanted)
    if not excluded:
        shards = [top_k(left, part, k, **way) for part in right.split(-(-size // parts))]
        assert torch.equal(joined(shards).ids, wanted)
