"""Exact search: every block size, product and backend gives the plain answer, ties by id."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from made_vectors import MIB, unit
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nsbench.benchmarks.search import blocked
from nsbench.benchmarks.search.blocked import Scratch, keys_of
from nsbench.benchmarks.search.exact import TopK, joined, top_k
from nsbench.benchmarks.search.keys import ids_of

WAYS: list[dict[str, Any]] = [
    {"product": "fp32"},
    {"product": "bf16"},
    {"product": "bf16", "memory": MIB},
    {"backend": "faiss"},
    {"backend": "faiss", "memory": MIB},
]
if sys.platform == "linux" and not torch.cuda.is_available():  # Triton's interpreter
    WAYS.append({"backend": "fused"})


def by_loops(queries: Tensor, corpus: Tensor, k: int, exclude: Tensor | None = None) -> Tensor:
    """Ids of the k best by (score, lower id), one query at a time; -1 behind the last."""
    out = []
    for i, query in enumerate(queries):
        scores = (corpus.double() @ query.double()).tolist()
        banned = set() if exclude is None else set(exclude[i].tolist())
        order = sorted((j for j in range(len(corpus)) if j not in banned), key=lambda j: -scores[j])
        out.append((order[:k] + [-1] * k)[:k])
    return torch.tensor(out)


def same(a: TopK, b: TopK) -> bool:
    return torch.equal(a.ids, b.ids) and torch.equal(a.scores, b.scores)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(("size", "k"), [(1, 1), (50, 7), (700, 100), (3000, 20)])
def test_search_finds_what_loops_find(size: int, k: int, way: dict[str, Any]) -> None:
    queries, corpus = unit(40, 24, seed=1), unit(size, 24, seed=2)
    found = top_k(queries, corpus, k, **way)
    assert torch.equal(found.ids, by_loops(queries, corpus, k))
    real = found.ids >= 0
    exact = (queries.double() @ corpus.double().T).float()
    picked = exact.gather(1, found.ids.clamp(min=0))
    torch.testing.assert_close(found.scores[real], picked[real], rtol=0, atol=1e-6)
    assert (found.scores[~real] == -torch.inf).all()
    assert found.corpus_size == size


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_search_breaks_ties_by_the_lower_id(way: dict[str, Any]) -> None:
    # Small whole numbers: every sum is exact in bf16 and float32, and ties are many.
    draw = torch.Generator().manual_seed(0)
    queries = torch.randint(-1, 2, (30, 6), generator=draw).float()
    corpus = torch.randint(-1, 2, (900, 6), generator=draw).float()
    found = top_k(queries, corpus, 50, **way)
    assert torch.equal(found.ids, by_loops(queries, corpus, 50))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_search_leaves_out_what_is_excluded(way: dict[str, Any]) -> None:
    queries, corpus = unit(30, 16, seed=1), unit(400, 16, seed=2)
    best = top_k(queries, corpus, 12).ids
    exclude = torch.cat([best[:, :9], torch.full((30, 2), -1)], dim=1)
    found = top_k(queries, corpus, 10, exclude=exclude, **way)
    assert torch.equal(found.ids, by_loops(queries, corpus, 10, exclude))
    assert torch.equal(found.ids[:, :3], best[:, 9:])


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_search_of_a_stream_leaves_out_what_is_in_later_blocks(way: dict[str, Any]) -> None:
    queries, corpus = unit(20, 16, seed=1), unit(3000, 16, seed=2)
    best = top_k(queries, corpus, 40).ids
    # The first query's exclusions, moved by a block's size, are answers of the second, and so on.
    exclude = torch.cat([best.roll(-1, 0) + size for size in (1344, 2688)], dim=1)
    exclude[exclude >= 3000] = -1
    wanted = top_k(queries, corpus, 40, exclude=exclude, product="fp32")
    stream = iter(corpus.split(64))
    assert same(top_k(queries, stream, 40, exclude=exclude, **way | {"memory": MIB}), wanted)


def test_search_gives_the_same_bits_whatever_the_way() -> None:
    queries, corpus = unit(300, 96, seed=3), unit(5000, 96, seed=4)
    plain = top_k(queries, corpus, 30, product="fp32")
    for way in WAYS:
        found = top_k(queries, corpus, 30, **way)
        assert same(found, plain)
        assert found.backend == way.get("backend", "torch")
    assert same(
        top_k(queries[100:101], corpus, 30),
        TopK(plain.scores[100:101], plain.ids[100:101], "", "", 0),
    )


def test_scores_of_pairs_depend_on_nothing_but_the_pair() -> None:
    queries, corpus = unit(30, 65, seed=0), unit(400, 65, seed=1)
    row, column = torch.arange(30).repeat_interleave(40), torch.arange(1200) % 400
    exact = (queries[row].double() * corpus[column].double()).sum(dim=1)
    scratch = blocked.Scratch(queries.device)
    for score in (blocked._gather_scores, blocked._sample_scores):
        whole = score(queries, corpus, row, column, scratch, 1 << 19)
        assert (whole - exact).abs().max() < 65 * 2**-23
        for pair in range(0, 1200, 37):
            one = slice(pair, pair + 1)
            alone = score(queries, corpus, row[one], column[one], scratch, 1 << 19)
            assert torch.equal(alone, whole[one])
            other = score(queries[row[one]], corpus, row[one] * 0, column[one], scratch, 1)
            assert torch.equal(other, whole[one])


def test_search_of_a_collapsed_space_is_exact() -> None:
    centre = unit(32, seed=0)
    queries = torch.nn.functional.normalize(centre + 1e-3 * unit(60, 32, seed=1), dim=1)
    corpus = torch.nn.functional.normalize(centre + 1e-3 * unit(9000, 32, seed=2), dim=1)
    plain = top_k(queries, corpus, 10, product="fp32")
    found = top_k(queries, corpus, 10, product="bf16", memory=MIB)
    assert same(found, plain)
    assert found.repeated > 0  # bf16 cannot tell these apart


def test_search_of_one_repeated_row_answers_the_lowest_ids() -> None:
    row = unit(1, 16, seed=0)
    for way in WAYS:
        found = top_k(row.expand(5, -1), row.expand(4000, -1), 6, **way)
        assert found.ids.tolist() == [list(range(6))] * 5


def test_search_of_a_stream_equals_search_of_the_whole() -> None:
    queries, corpus = unit(50, 16, seed=1), unit(2000, 16, seed=2)
    for sizes in ([2000], [1, 699, 0, 1300], [100] * 20):
        for way in WAYS:
            stream: Iterator[Tensor] = iter(corpus.split(sizes))
            assert same(top_k(queries, stream, 9, **way), top_k(queries, corpus, 9))


@pytest.mark.parametrize("k", [5, 300])
def test_shards_joined_are_the_whole(k: int) -> None:
    draw = torch.Generator().manual_seed(0)
    queries = torch.randint(-2, 3, (20, 6), generator=draw).float()  # many ties
    corpus = torch.randint(-2, 3, (500, 6), generator=draw).float()
    shards = [top_k(queries, part, k) for part in corpus.split([200, 1, 299])]
    whole = top_k(queries, corpus, k)
    found = joined(shards)
    assert same(found, whole)
    assert found.corpus_size == 500
    with pytest.raises(ValueError, match="shapes differ"):
        joined([whole, top_k(queries, corpus, k + 1)])


@pytest.mark.parametrize("way", [WAYS[0], WAYS[4], *WAYS[5:]], ids=str)
def test_search_on_several_devices_is_the_whole(way: dict[str, Any]) -> None:
    queries, corpus = unit(30, 16, seed=1), unit(1500, 16, seed=2)
    corpus[1000:1100] = corpus[:100]  # ties between devices
    exclude = top_k(queries, corpus, 2).ids
    whole = top_k(queries, corpus, 12, exclude=exclude)
    for given in (corpus, iter(corpus.split(70))):
        found = top_k(queries, given, 12, exclude=exclude, devices=["cpu"] * 3, **way)
        assert same(found, whole)
        assert found.devices == ("cpu",) * 3
        assert found.corpus_size == 1500
    assert whole.devices == ("cpu",)


def test_search_refuses_devices_that_are_not_there() -> None:
    queries, corpus = unit(3, 4, seed=0), unit(9, 4, seed=1)
    with pytest.raises(ValueError, match="no device 'gpu'"):
        top_k(queries, corpus, 1, devices=["gpu"])
    with pytest.raises(ValueError, match="no device 'cuda:77'"):
        top_k(queries, corpus, 1, devices=["cpu", "cuda:77"])
    with pytest.raises(ValueError, match="hold NaN"):  # in a thread, or before
        top_k(queries, corpus * torch.nan, 1, devices=["cpu", "cpu"])


class Largest(TorchDispatchMode):
    """The largest tensor that anything made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, Tensor) and not value._is_view():
                self.bytes = max(self.bytes, value.numel() * value.element_size())
        return out


@pytest.mark.parametrize("product", ["fp32", "bf16"])
def test_search_memory_is_bounded_by_the_setting(product: str) -> None:
    for size in (5_000, 40_000):
        queries, corpus = unit(1000, 8, seed=1), unit(size, 8, seed=2)
        with Largest() as seen:  # type: ignore[no-untyped-call]  # torch's own
            top_k(queries, corpus, 5, memory=2 * MIB, product=product)
        assert seen.bytes <= 2 * MIB


def test_search_of_no_query_is_empty() -> None:
    assert top_k(torch.zeros(0, 4), unit(9, 4, seed=0), 3).ids.shape == (0, 3)


def test_search_refuses_what_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, corpus = unit(3, 4, seed=0), unit(9, 4, seed=1)
    for changes, message in (
        ({"corpus": corpus[:0]}, "the corpus is empty"),
        ({"corpus": iter([])}, "the corpus is empty"),
        ({"corpus": unit(9, 5, seed=1)}, "queries have 4 dimensions"),
        ({"k": 0}, "k must be a whole number >= 1, got 0"),
        ({"backend": "fais"}, "Did you mean 'faiss'"),
        ({"product": "fp8"}, "product is 'fp8'"),
        ({"memory": 10}, "memory must be at least"),
        ({"exclude": torch.zeros(2, 1, dtype=torch.int64)}, r"exclude must be \(3, E\)"),
        ({"corpus": corpus * torch.nan}, "rows of the corpus hold NaN"),
        ({"queries": queries[0]}, r"queries must be \(Q, d\)"),
    ):
        with pytest.raises(ValueError, match=message):
            top_k(**{"queries": queries, "corpus": corpus, "k": 1} | changes)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModuleNotFoundError, match="pip install faiss-cpu"):
        top_k(queries, corpus, 1, backend="faiss")


@pytest.mark.parametrize("size", [60, 300, 2000])  # fewer than k, than 8 k, than 64 k
@pytest.mark.parametrize("product", ["fp32", "bf16"])
def test_search_of_a_small_corpus_does_nothing_twice(size: int, product: str) -> None:
    points = torch.randn(size, 24, generator=torch.Generator().manual_seed(1))
    found = top_k(points, points, 50, product=product)
    assert found.repeated == 0
    exact = (points @ points.T).topk(50, dim=1)
    assert (found.ids == exact.indices).float().mean() > 0.99


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("scales", [(1.0, 1e-37), (1e-37, 1.0), (1e-21, 1e-21)], ids=str)
def test_search_of_norms_too_small_for_float32_is_exact(
    scales: tuple[float, float], way: dict[str, Any]
) -> None:
    queries, corpus = unit(20, 16, seed=1) * scales[0], unit(1500, 16, seed=2) * scales[1]
    pairs = torch.cartesian_prod(torch.arange(20), torch.arange(1500)).unbind(1)
    keys = keys_of(queries, corpus, 0, *pairs, Scratch(queries.device)).view(20, 1500)
    assert torch.equal(top_k(queries, corpus, 7, **way).ids, ids_of(keys.topk(7, dim=1).values))


@pytest.mark.parametrize("way", WAYS[:2] + WAYS[5:], ids=str)
def test_search_of_norms_too_large_for_float32_is_exact(way: dict[str, Any]) -> None:
    queries, corpus = unit(9, 16, seed=1) * 1e-6, unit(800, 16, seed=2) * 1e25
    queries[3] = 0.0
    found = top_k(queries, corpus, 7, **way)
    assert torch.equal(found.ids, by_loops(queries, corpus, 7))
