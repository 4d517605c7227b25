"""Vectors for tests of the search, and the comparison with the reference."""

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from nsbench.benchmarks.search.exact import TopK, top_k

NEEDS_TRITON = [
    pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="run on the GPU by timing.gpu_search"),
]


MIB = 1 << 20


def unit(*shape: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(shape, generator=draw), dim=-1)


def both(queries: Tensor, corpus: Any, k: int, **settings: Any) -> tuple[TopK, TopK]:
    """What fused finds, and the reference."""
    return (
        top_k(queries, corpus, k, backend="fused", **settings),
        top_k(queries, corpus, k, product="fp32", exclude=settings.get("exclude")),
    )


def check(found: TopK, wanted: TopK) -> TopK:
    assert torch.equal(found.ids, wanted.ids)
    assert torch.equal(found.scores, wanted.scores)
    assert (found.backend, found.product) == ("fused", "fp16")
    return found
