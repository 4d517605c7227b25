"""The fused search in every precision is the reference, and needs the bound that it has there."""

from typing import Any

import pytest
import torch
from made_vectors import MIB, NEEDS_TRITON, both, check, unit
from torch import Tensor

from nsbench.benchmarks.search import blocked, fused
from nsbench.benchmarks.search.blocked import Search, Tile, tf32
from nsbench.benchmarks.search.exact import TopK, top_k

pytestmark = NEEDS_TRITON
PRODUCTS = ["bf16", "tf32", "fp32"]  # fp16: all of test_search_fused
HALF = {"fp16": 2.0**-11, "tf32": 2.0**-11, "bf16": 2.0**-8}  # of the last place of 1.0


@pytest.mark.parametrize("product", PRODUCTS)
def test_product_is_the_reference(product: str) -> None:
    queries, corpus = unit(70, 65, seed=1), unit(2500, 65, seed=2)
    corpus[2000:2200] = corpus[:200]  # ties
    exclude = top_k(queries, corpus, 5).ids
    found, wanted = both(queries, corpus, 9, exclude=exclude, product=product)
    check(found, wanted, product)
    stream = iter(corpus.split(600))
    again = top_k(queries, stream, 9, backend="fused", memory=MIB, exclude=exclude, product=product)
    check(again, wanted, product)


@pytest.mark.parametrize("product", PRODUCTS)
def test_product_breaks_ties_by_the_lower_id(product: str) -> None:
    draw = torch.Generator().manual_seed(0)
    queries = torch.randint(-1, 2, (12, 5), generator=draw).float()
    corpus = torch.randint(-1, 2, (1300, 5), generator=draw).float()
    corpus[corpus == 0] = -0.0
    check(*both(queries, corpus, 20, product=product), product)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("apart", [1e-3, 1e-5])
def test_product_of_rows_that_it_cannot_tell_apart_is_exact(product: str, apart: float) -> None:
    centre = unit(16, seed=0)
    queries = torch.nn.functional.normalize(centre + apart * unit(12, 16, seed=1), dim=1)
    corpus = torch.nn.functional.normalize(centre + apart * unit(1300, 16, seed=2), dim=1)
    check(*both(queries, corpus, 6, product=product), product)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("scale", [1e-30, 1e15, 1e37])
def test_product_of_small_and_large_norms_is_exact(product: str, scale: float) -> None:
    queries = unit(20, 16, seed=1) * torch.logspace(-6, 0, 20)[:, None]
    corpus = unit(1400, 16, seed=2) * scale
    corpus[::7] *= 1e-3
    corpus[5] = queries[3] = 0.0
    check(*both(queries, corpus, 12, product=product), product)


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


def found_by(product: str, query: Tensor, *blocks: Tensor) -> TopK:
    search, first = fused.FusedSearch(query, 3, 64 * MIB, None, product), 0
    for block in blocks:
        search.add(block, first)
        first += len(block)
    return search.answer("fused")


@pytest.mark.parametrize("product", HALF)
def test_law_product_needs_all_of_its_bound(product: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, best = by_a_hair(product)
    assert (found_by(product, *given).ids[:, 0] == best).all()
    real = fused.FusedSearch._slack
    for share in (0.0, 0.5, 0.95):
        monkeypatch.setattr(fused.FusedSearch, "_slack", lambda *a, s=share: s * real(*a))
        assert (found_by(product, *given).ids != best).all()


@pytest.mark.parametrize("product", [*HALF, "fp32"])
def test_law_product_is_within_its_bound(product: str) -> None:
    draw = torch.Generator().manual_seed(0)
    spread = torch.randint(-12, 12, (40, 24), generator=draw)
    queries = torch.ldexp(torch.randn(40, 24, generator=draw), spread)
    block = torch.ldexp(torch.randn(300, 24, generator=draw), spread.roll(1, 0)[:1])
    search = fused.FusedSearch(queries, 3, MIB, None, product)
    low, rows = search._block(block), search._queries(slice(0, 40))
    exact = queries.double() @ block.double().T * rows.scale[:, None].double() * low.scale.double()
    made = (rows.rows.float() @ low.rows.float().T)[:40, :300]
    off, slack = (made - exact).abs().amax(dim=1), search._slack(rows, low)
    assert (off <= slack).all()
    assert (off / slack).max() > 1e-3


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A tensor core that cuts float32 off after ten bits; how many numbers that changed."""
    from nsbench.benchmarks.search import kernel

    changed = [0]
    for name in ("scan", "maxima"):
        real = getattr(kernel, name)

        def cut(q: Tensor, x: Tensor, *rest: Any, real: Any = real, **named: Any) -> Any:
            short = [(each.view(torch.int32) & -0x2000).view(torch.float32) for each in (q, x)]
            changed[0] += int((short[0] != q).sum()) + int((short[1] != x).sum())
            return real(*short, *rest, **named)

        monkeypatch.setattr(kernel, name, cut)
    return changed


def test_law_tf32_leaves_a_tensor_core_nothing_to_cut_off(
    cutting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, best = by_a_hair("tf32")
    assert (found_by("tf32", *given).ids[:, 0] == best).all()
    queries, corpus = unit(20, 24, seed=1), unit(1400, 24, seed=2)
    check(*both(queries, corpus, 9, product="tf32"), "tf32")
    assert cutting == [0]
    monkeypatch.setattr(fused, "tf32", lambda rows: rows)  # all is left to the device
    assert (found_by("tf32", *given).ids != best).all()
    assert cutting[0] > 0


def searched_in_tf32(queries: Tensor, *blocks: Tensor, k: int = 3) -> TopK:
    """By backend ``torch``, as on a device: a processor makes the same product of rounded rows."""
    search, first = Search(queries, k, 4 * MIB, None, product="tf32"), 0
    for block in blocks:
        search.add(block, first)
        first += len(block)
    return search.answer("torch")


@pytest.mark.parametrize("apart", [1.0, 1e-3, 1e-5])
def test_torch_in_tf32_is_the_reference(apart: float) -> None:
    queries, corpus = unit(1, 16, seed=0) + apart * unit(30, 16, seed=1), unit(1, 16, seed=0)
    corpus = corpus + apart * unit(3000, 16, seed=2)
    found = searched_in_tf32(queries, *corpus.split(1700), k=6)
    wanted = top_k(queries, corpus, 6, product="fp32")
    assert torch.equal(found.ids, wanted.ids)
    assert torch.equal(found.scores, wanted.scores)
    assert found.product == "tf32"


def test_law_torch_in_tf32_needs_its_bound_and_leaves_nothing_to_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, best = by_a_hair("tf32")
    multiply, product = torch.mm, Tile.product
    cut = [0]

    def short(a: Tensor, b: Tensor, **named: Any) -> Tensor:
        both = [(each.contiguous().view(torch.int32) & -0x2000).view(a.dtype) for each in (a, b)]
        cut[0] += int((both[0] != a).sum()) + int((both[1] != b).sum())
        return multiply(*both, **named)

    monkeypatch.setattr(torch, "mm", short)
    assert (searched_in_tf32(*given).ids[:, 0] == best).all()
    assert cut == [0]

    def bolder(tile: Tile, *rest: Tensor) -> tuple[Tensor, Tensor]:
        values, slack = product(tile, *rest)
        return values, 0.95 * slack

    with monkeypatch.context() as patch:
        patch.setattr(Tile, "product", bolder)
        assert (searched_in_tf32(*given).ids != best).all()
    monkeypatch.setattr(blocked, "tf32", lambda rows: rows)  # all is left to the device
    assert (searched_in_tf32(*given).ids != best).all()
    assert cut[0] > 0


@pytest.mark.parametrize("powers", [(-68, 0), (0, -70), (-66, -20)])
def test_law_norms_whose_squares_are_too_small_give_no_bound(
    powers: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (query, *blocks), best = by_a_hair("tf32")
    given = [query * 2.0 ** powers[0], *(block * 2.0 ** powers[1] for block in blocks)]
    assert (searched_in_tf32(*given).ids[:, 0] == best).all()
    monkeypatch.setattr(blocked, "_MIN_NORM", 0.0)
    assert (searched_in_tf32(*given).ids[:, 0] != best).all()


def test_torch_in_tf32_has_torch_multiply_so_and_sets_it_back() -> None:
    from nsbench.benchmarks.search import exact as search

    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    for wanted in (True, False):
        with search._exact_products(tf32=wanted):
            assert settings.fp32_precision == ("tf32" if wanted else "ieee")
        assert settings.fp32_precision == before


def test_tf32_is_the_nearest_number_of_ten_bits() -> None:
    half = 2.0**-11
    given = torch.tensor([1.0, 1 + half, 1 + half - 2**-23, -1 - 3 * half, 2 - half, 0.0, -0.0])
    wanted = torch.tensor([1.0, 1 + 2 * half, 1.0, -1 - 4 * half, 2.0, 0.0, -0.0])
    assert torch.equal(tf32(given), wanted)
    many = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    assert ((tf32(many) - many).abs() <= half * many.abs()).all()


def test_products_that_a_device_has_not_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    device = torch.device("cuda", 0)
    for product in ("bf16", "tf32"):
        with pytest.raises(ValueError, match=rf"'{product}' begins at .* 8\.0, cuda:0 has 7\.5"):
            fused._kernel(device, product)
    assert fused._kernel(device, "fp16")
    queries, corpus = unit(3, 4, seed=0), unit(9, 4, seed=1)
    with pytest.raises(ValueError, match="fp32 or bf16 on cpu, product is 'tf32'"):
        top_k(queries, corpus, 1, product="tf32")
