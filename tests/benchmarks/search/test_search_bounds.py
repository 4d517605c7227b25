"""The bounds on a product's rounding hold, and the searches need all of them."""

import pytest
import torch
from made_vectors import MIB, NEEDS_TRITON, unit
from torch import Tensor

from nsbench.benchmarks.search import blocked, fused
from nsbench.benchmarks.search.blocked import Search
from nsbench.benchmarks.search.exact import TopK

HALF = {"fp16": 2.0**-11, "bf16": 2.0**-8}  # of the last place of 1.0


def by_a_hair(product: str) -> tuple[list[Tensor], int]:
    """Queries, two blocks of a corpus, and the id of the best row, which the product puts lowest.

    All of the query's and the best row's numbers lie just below the middle of two that the product
    knows and lose half a last place, all in one direction: as far as the bound allows.
    """
    half, hair = HALF[product], 2.0**-20
    query = torch.full((3, 16), 1 + half - hair)
    first = 0.25 * unit(1400, 16, seed=0)
    first[[3, 700, 1200]] = 1 + 3 * half - 2 * hair
    second = 0.25 * unit(600, 16, seed=1)
    second[311] = 1 + 3 * half - hair
    return [query, first, second], 1400 + 311


def searched(search: Search, *blocks: Tensor) -> TopK:
    """The answer of a search of some blocks."""
    first = 0
    for block in blocks:
        search.add(block, first)
        first += len(block)
    return search.answer("")


class TestFused:
    """In fp16, in Triton's interpreter."""

    pytestmark = NEEDS_TRITON

    def test_law_it_needs_all_of_its_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (query, *blocks), best = by_a_hair("fp16")

        def found() -> Tensor:
            return searched(fused.FusedSearch(query, 3, 64 * MIB, None), *blocks).ids

        assert (found()[:, 0] == best).all()
        real = fused.FusedSearch._slack
        for share in (0.0, 0.5, 0.95):
            monkeypatch.setattr(fused.FusedSearch, "_slack", lambda *a, s=share: s * real(*a))
            assert (found() != best).all()

    def test_law_it_is_within_its_bound(self) -> None:
        draw = torch.Generator().manual_seed(0)
        spread = torch.randint(-12, 12, (40, 24), generator=draw)
        queries = torch.ldexp(torch.randn(40, 24, generator=draw), spread)
        block = torch.ldexp(torch.randn(300, 24, generator=draw), spread.roll(1, 0)[:1])
        search = fused.FusedSearch(queries, 3, MIB, None)
        low, rows = search._block(block), search._queries(slice(0, 40))
        scale = rows.scale[:, None].double() * low.scale.double()
        exact = queries.double() @ block.double().T * scale
        made = (rows.rows.float() @ low.rows.float().T)[:40, :300]
        off, slack = (made - exact).abs().amax(dim=1), search._slack(rows, low)
        assert (off <= slack).all()
        assert (off / slack).max() > 1e-3


@pytest.mark.parametrize("powers", [(-76, 0), (0, -76), (-76, -20)])
def test_law_norms_whose_squares_are_too_small_give_no_bound(
    powers: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (query, *blocks), best = by_a_hair("bf16")
    given = [block * 2.0 ** powers[1] for block in blocks]

    def found() -> Tensor:
        search = Search(query * 2.0 ** powers[0], 3, 4 * MIB, None, product="bf16")
        return searched(search, *given).ids

    assert (found()[:, 0] == best).all()
    monkeypatch.setattr(blocked, "_MIN_NORM", -1.0)
    assert (found()[:, 0] != best).all()
