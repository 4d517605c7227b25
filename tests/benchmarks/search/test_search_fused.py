"""The fused search equals the reference, bit for bit, here in Triton's interpreter."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from made_vectors import MIB, NEEDS_TRITON, both, check, unit
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from nsbench.benchmarks.search import blocked as _search_blocked
from nsbench.benchmarks.search.blocked import Scratch, keys_of
from nsbench.benchmarks.search.exact import TopK, top_k
from nsbench.benchmarks.search.keys import ids_of, scores_of

pytestmark = NEEDS_TRITON


@pytest.mark.parametrize(
    ("rows", "size", "width", "k"), [(1, 513, 1, 3), (70, 2500, 65, 9), (130, 1111, 130, 40)]
)
def test_fused_is_the_reference_for_odd_shapes(rows: int, size: int, width: int, k: int) -> None:
    found = check(*both(unit(rows, width, seed=1), unit(size, width, seed=2), k))
    assert found.corpus_size == size


def test_fused_of_a_collapsed_space_is_exact() -> None:
    centre = unit(16, seed=0)
    queries = torch.nn.functional.normalize(centre + 1e-3 * unit(20, 16, seed=1), dim=1)
    corpus = torch.nn.functional.normalize(centre + 1e-3 * unit(1500, 16, seed=2), dim=1)
    check(*both(queries, corpus, 6))  # fp16 cannot tell these apart


def test_fused_of_small_memory_goes_in_many_tiles_and_blocks() -> None:
    queries, corpus = unit(60, 24, seed=1), unit(6000, 24, seed=2)
    found, wanted = both(queries, corpus, 10, memory=MIB)
    check(found, wanted)
    stream = iter(corpus.split(900))
    check(top_k(queries, stream, 10, backend="fused", memory=2 * MIB), wanted)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 3e4, 1e15, 1e25, 1e32])
def test_fused_scales_what_fp16_cannot_hold(scale: float) -> None:
    queries = unit(20, 16, seed=1) * torch.logspace(-6, 6, 20)[:, None]
    corpus = unit(1500, 16, seed=2) * scale
    corpus[::7] *= 1e-3
    corpus[5] = 0.0
    queries[3] = 0.0
    found = check(*both(queries, corpus, 12))
    assert found.ids[3].tolist() == list(range(12))  # all scores of a zero query are equal


@pytest.mark.parametrize(("size", "other"), [(1e37, 1e-30), (2e38, 1e-3), (1e-30, 1e-15)])
def test_fused_of_the_ends_of_float32_is_exact(size: float, other: float) -> None:
    queries, corpus = unit(20, 16, seed=1), unit(1500, 16, seed=2)
    queries[:, ::2] = 0.0  # times infinity would be no number
    for left, right in ((queries * other, corpus * size), (queries * size, corpus * other)):
        row, column = torch.cartesian_prod(torch.arange(20), torch.arange(1500)).unbind(1)
        keys = keys_of(left, right, 0, row, column, Scratch(left.device)).view(20, 1500)
        best = keys.topk(7, dim=1).values
        check(
            top_k(left, right, 7, backend="fused"), TopK(scores_of(best), ids_of(best), "", "", 0)
        )


def test_fused_keeps_minus_zero_and_ties_in_order() -> None:
    draw = torch.Generator().manual_seed(0)
    queries = torch.randint(-1, 2, (20, 5), generator=draw).float()
    corpus = torch.randint(-1, 2, (1500, 5), generator=draw).float()
    corpus[corpus == 0] = -0.0
    found = check(*both(queries, corpus, 30))
    assert found.repeated > 0  # hundreds of equal scores: more than a query's share


def test_fused_of_equal_rows_overflows_and_is_done_again() -> None:
    corpus = torch.cat([unit(1, 8, seed=0).expand(3000, -1), unit(400, 8, seed=1)])
    queries = torch.cat([corpus[:1], unit(10, 8, seed=2)])
    found = check(*both(queries, corpus, 5))
    assert found.ids[0].tolist() == [0, 1, 2, 3, 4]
    assert found.repeated > 0


@pytest.mark.parametrize("memory", [MIB, 64 * MIB])
def test_fused_of_a_corpus_in_order_of_topic_loses_nothing(memory: int) -> None:
    # The best of all queries lie together at the end: a bound from the beginning is far too low.
    centres = unit(20, 24, seed=0)
    corpus = torch.cat([c + 0.2 * unit(200, 24, seed=i) for i, c in enumerate(centres)])
    queries = centres[-1] + 0.2 * unit(20, 24, seed=99)
    check(*both(queries, corpus, 20, memory=memory))


def test_fused_leaves_out_what_is_excluded_however_much() -> None:
    queries, corpus = unit(12, 16, seed=1), unit(1400, 16, seed=2)
    best = top_k(queries, corpus, 60).ids
    exclude = torch.full((12, 60), -1)
    for i in range(12):
        exclude[i, : 5 * i] = best[i, : 5 * i].flip(0)  # some queries none, some more than k
    found = check(*both(queries, corpus, 8, exclude=exclude))
    for i in range(12):
        assert found.ids[i].tolist() == best[i, 5 * i : 5 * i + 8].tolist()[:8] or i == 11
    # The same where queries are done again.
    draw = torch.Generator().manual_seed(0)
    tied = torch.randint(-1, 2, (1400, 4), generator=draw).float()
    assert check(*both(tied[:12], tied, 8, exclude=exclude)).repeated > 0


@pytest.mark.parametrize("size", [3, 300])
def test_fused_of_few_rows_leaves_places_empty(size: int) -> None:
    found = check(*both(unit(5, 6, seed=0), unit(size, 6, seed=1), 400))
    assert (found.ids[:, size:] == -1).all()


def test_fused_of_no_query_is_empty() -> None:
    assert top_k(torch.zeros(0, 4), unit(600, 4, seed=0), 3, backend="fused").ids.shape == (0, 3)


def test_fused_mines_the_same_negatives() -> None:
    from nsbench.benchmarks.mining.sources import DenseSource

    points, queries = unit(1200, 12, seed=0), torch.arange(0, 1200, 60).numpy()
    candidates = torch.arange(1, 1200).numpy()
    plain = DenseSource(points, candidates, name="x").rank(queries, 9)
    fused = DenseSource(points, candidates, name="x", backend="fused", devices=["cpu", "cpu"])
    for found, wanted in zip(fused.rank(queries, 9), plain, strict=True):
        assert (found == wanted).all()


def test_law_fused_candidates_are_all_that_reach_the_bound() -> None:
    """The words, counted and collected, say of every score whether it reaches the bound."""
    from nsbench.benchmarks.search import kernel

    draw = torch.Generator().manual_seed(0)
    config = kernel.Config(64, 128, 64, 4, 1)
    q = torch.randint(-3, 4, (128, 64), generator=draw).half()
    x = torch.randint(-3, 4, (512, 64), generator=draw).half()
    bound = torch.linspace(-60, 90, 128).round()
    bound[7], bound[8] = torch.inf, -torch.inf
    words = torch.empty(128, 16, dtype=torch.int32)
    kernel.scan(q, x, bound, words, config)
    columns, height = 470, 100
    wanted = (q.float() @ x.float().T >= bound[:, None])[:height, :columns]
    counts = kernel.count(words[:height], columns)
    assert torch.equal(counts.long(), wanted.sum(dim=1))
    starts = torch.where(counts > 0, counts.cumsum(0) - counts, -1).int()
    starts[50] = -1  # left out: its places stay empty
    row, column = kernel.collect(words[:height], columns, starts, int(counts.sum()) + 5)
    expected = torch.zeros(2, len(row), dtype=torch.int64)
    for i in range(height):
        if starts[i] >= 0:
            mine = wanted[i].nonzero()[:, 0]
            expected[0, int(starts[i]) : int(starts[i]) + len(mine)] = i
            expected[1, int(starts[i]) : int(starts[i]) + len(mine)] = mine
    assert torch.equal(torch.stack([row, column]), expected)


def test_law_fused_maxima_cover_the_sample_once() -> None:
    from nsbench.benchmarks.search import kernel

    config = kernel.Config(64, 128, 64, 4, 1)
    q, x = unit(64, 64, seed=1).half(), unit(1000, 64, seed=2).half()
    found = kernel.maxima(q, x, group=32, tiles=2, apart=3, config=config)
    scores = q.float() @ x.float().T
    picked = torch.arange(256).view(128, 2).T * 3  # column j of tile n is row (n + 2 j) * 3
    wanted = scores[:, picked.reshape(8, 32)].amax(dim=2)
    torch.testing.assert_close(found, wanted)


class Waits(TorchFunctionMode):
    """Counts what makes a program wait for a GPU to say something."""

    ASK = frozenset({"item", "tolist", "nonzero", "cpu", "numpy", "bincount", "unique"})
    ASK |= {"__bool__", "__int__", "__float__", "__index__", "masked_select"}

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = getattr(func, "__name__", "")
        by_mask = name in ("__getitem__", "__setitem__") and any(
            isinstance(a, Tensor) and a.dtype == torch.bool
            for a in (args[1] if isinstance(args[1], tuple) else (args[1],))
        )
        if name in self.ASK or by_mask:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launches do not count: the interpreter reads what a device would be handed."""
    from nsbench.benchmarks.search import kernel

    for name in ("scan", "maxima", "count", "collect"):
        launch = getattr(kernel, name)

        def silent(*args: Any, launch: Any = launch, **settings: Any) -> Any:
            with torch._C.DisableTorchFunction():
                return launch(*args, **settings)

        monkeypatch.setattr(kernel, name, silent)


def test_fused_waits_for_the_device_no_more_often_for_more_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet(monkeypatch)
    monkeypatch.setattr(_search_blocked, "_sample_scores", _search_blocked._gather_scores)
    corpus, seen = unit(2000, 16, seed=1), []
    for rows, memory in ((40, 64 * MIB), (200, MIB)):
        with Waits() as waits:
            found = top_k(unit(rows, 16, seed=2), corpus, 5, backend="fused", memory=memory)
        assert found.repeated == 0
        seen.append(waits.seen)
    assert seen[0] == seen[1]
    assert 0 < seen[0].total() < 12


def test_fused_tile_asks_the_device_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On fake tensors, of which asking for a value is an error."""
    from nsbench.benchmarks.search import fused, kernel

    def count(words: Tensor, columns: int) -> Tensor:
        return torch.empty(len(words), dtype=torch.int32, device=words.device)

    def collect(words: Tensor, columns: int, starts: Tensor, room: int) -> list[Tensor]:
        return [torch.empty(room, dtype=torch.int64, device=words.device) for _ in range(2)]

    def maxima(q: Tensor, x: Tensor, group: int, tiles: int, *_: Any) -> Tensor:
        return torch.empty(len(q), tiles * 256 // group, device=q.device)

    monkeypatch.setattr(_search_blocked, "_sample_scores", _search_blocked._gather_scores)
    monkeypatch.setattr(kernel, "scan", lambda *_: None)
    monkeypatch.setattr(kernel, "count", count)
    monkeypatch.setattr(kernel, "collect", collect)
    monkeypatch.setattr(kernel, "maxima", maxima)
    monkeypatch.setattr(kernel, "config_of", lambda *_: kernel.CONFIGS[0])
    banned = torch.zeros(300, 2).long()
    search = fused.FusedSearch(unit(300, 32, seed=0), 5, 8 * MIB, banned)
    with FakeTensorMode() as fake:
        for name, value in vars(search).items():
            if isinstance(value, Tensor):
                setattr(search, name, fake.from_tensor(value))
        block = torch.empty(4096, 32)
        low = search._block(block)
        assert search._first_bound(low, 7) > 0
        assert search._scan(low, 0, 4096, 30.0, 90.0).shape == (300,)
        with pytest.raises(Exception, match=r"_local_scalar_dense|data.dependent"):
            search.crowding = float(search.floor.sum())


def test_fused_bounds_the_memory_by_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    from nsbench.benchmarks.search import kernel

    largest = [0]
    real = kernel.scan

    def scan(q: Tensor, x: Tensor, bound: Tensor, words: Tensor, config: Any) -> None:
        largest[0] = max(largest[0], words.nbytes + q.nbytes + x.nbytes)
        real(q, x, bound, words, config)

    monkeypatch.setattr(kernel, "scan", scan)
    for size in (1_000, 5_000):
        points = unit(200, 8, seed=1), unit(size, 8, seed=2)
        top_k(*points, 5, backend="fused", memory=2 * MIB)
        assert 0 < largest[0] <= 2 * MIB


def test_fused_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, corpus = unit(3, 4, seed=0), unit(9, 4, seed=1)
    says = "'torch' multiplies in fp32 or bf16, product is 'fp16'"
    with pytest.raises(ValueError, match=says):
        top_k(queries, corpus, 1, product="fp16")
    from nsbench.benchmarks.search import kernel

    monkeypatch.setattr(kernel, "INTERPRETED", False)
    with pytest.raises(ValueError, match="'fused' needs a CUDA device and was given cpu"):
        top_k(queries, corpus, 1, backend="fused")
    monkeypatch.delitem(sys.modules, "nsbench.benchmarks.search.kernel")
    monkeypatch.delattr("nsbench.benchmarks.search.kernel")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ModuleNotFoundError, match="pip install triton"):
        top_k(queries, corpus, 1, backend="fused")


SHARED = {80: 163 << 10, 90: 227 << 10}  # bytes that one program may have


def compiled(capability: int, *which: str) -> dict[str, dict[str, int]]:
    """What the kernels take on a GPU of that capability, compiled without one."""
    from triton.backends import nvidia

    if not (Path(nvidia.__path__[0]) / "bin" / "cuobjdump").exists():
        pytest.skip("this Triton comes without cuobjdump")
    script = Path(__file__).with_name("_compile_search.py")
    told = subprocess.run(
        [sys.executable, script, str(capability), "384", *which],
        capture_output=True,
        text=True,
        check=True,
        env={k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"},
    )
    found: dict[str, dict[str, int]] = json.loads(told.stdout)
    return found


def test_law_fused_epilogue_stays_in_registers() -> None:
    """No spill, and the tile of scores is never laid out anew: what slowed the sketch."""
    found = compiled(90, "scan 128x256x64 8 3")
    for name, taken in found.items():
        assert taken["spilled"] == taken["anew"] == 0, name
        assert taken["wgmma"] == 1, name
        assert taken["registers"] * 256 <= 65536, name
        assert taken["shared"] <= SHARED[90], name


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED)
def test_law_fused_kernels_compile_for_gpus(capability: int) -> None:
    found = compiled(capability)
    assert len(found) == 2 + 2 * 8
    for name, taken in found.items():
        assert taken["anew"] == 0, name
        assert taken["shared"] <= SHARED[capability], name
        assert taken["spilled"] <= (0 if capability == 90 else 16), name
        tensor_core = name.split()[0] in ("scan", "maxima")
        assert taken["wgmma"] == (tensor_core and capability == 90), name
