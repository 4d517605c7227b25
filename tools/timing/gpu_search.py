"""Exact search on a CUDA device, checked and timed; called by `tools.timing.gpu`.

On a CPU all of it runs in Triton's interpreter at a tiny size, to show that it works.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.search.blocked import Scratch, keys_of
from nsbench.benchmarks.search.exact import PRODUCTS_OF, TopK, top_k

Wait = Callable[[torch.device], AbstractContextManager[None]]


def interpret(device: torch.device) -> None:
    """Have Triton interpret its kernels where there is no device, if it is not too late."""
    if device.type != "cuda" and "triton" not in sys.modules:
        os.environ.setdefault("TRITON_INTERPRET", "1")


def points_of(rows: int, width: int, device: torch.device, seed: int) -> Tensor:
    """``(rows, width)`` unit vectors around a fiftieth as many centres, which all seeds share."""
    draw = torch.Generator(device).manual_seed(0)
    centres = torch.randn(rows // 50 + 1, width, device=device, generator=draw)
    draw.manual_seed(seed)
    out = torch.randn(rows, width, device=device, generator=draw).mul_(0.8)
    out += centres[torch.randint(0, len(centres), (rows,), device=device, generator=draw)]
    return functional.normalize(out, dim=1, out=out)


def search_checks(
    device: torch.device, *, small: bool, no_waiting: Wait = lambda device: nullcontext()
) -> dict[str, Callable[[], str]]:
    """Checks by name; each says what it saw, or raises.

    Args:
        device: Where.
        small: For a rehearsal.
        no_waiting: Makes all that waits for the device raise.
    """
    interpret(device)
    return {
        "fused search = reference": lambda: _equal(device, small),
        "search of close points = reference": lambda: _equal_if_close(device, small),
        "a tile of fused search waits for nothing": lambda: _unwaited(device, small, no_waiting),
        "the score of a pair is the same alone": lambda: _alone(device),
        "two devices in turn = one": lambda: _in_turn(device, small),
    }


def _same(found: TopK, wanted: TopK) -> None:
    wrong = int((found.ids != wanted.ids).any(dim=1).sum())
    if wrong or not torch.equal(found.scores, wanted.scores):
        raise AssertionError(f"{wrong} of {len(found.ids)} queries have other neighbours")


def _equal(device: torch.device, small: bool) -> str:
    tried, again = 0, 0
    sizes = [(20, 600, 24, 7)] if small else [(20_000, 50_000, 384, 100)]
    sizes += [] if small else [(777, 30_011, 65, 10), (5_000, 200_000, 1024, 50), (1, 513, 3, 5)]
    for rows, size, width, k in sizes:
        queries = points_of(rows, width, device, 1)
        corpus = points_of(size, width, device, 2)
        corpus[size // 2 :] = corpus[: size - size // 2].clone()  # ties: every vector twice
        exclude = top_k(queries, corpus, 2).ids
        for memory, excluded in ((256 << 20, None), (32 << 20, exclude)):
            found = top_k(queries, corpus, k, backend="fused", memory=memory, exclude=excluded)
            _same(found, top_k(queries, corpus, k, exclude=excluded))
            tried, again = tried + rows, again + found.repeated
    draw = torch.Generator(device).manual_seed(0)
    rows, size = (20, 600) if small else (500, 50_000)
    tied = torch.randint(-1, 2, (size, 6), device=device, generator=draw).float()
    found = top_k(tied[:rows], tied, 20, backend="fused")
    _same(found, top_k(tied[:rows], tied, 20))
    return f"{tried + rows} queries, bit for bit; {again + found.repeated} done again"


def _equal_if_close(device: torch.device, small: bool) -> str:
    """Compare on points closer than a product's last place, its bound's work.

    What a tensor core does to its operands and sums no rehearsal shows.
    """
    rows, size, width, k = (12, 600, 24, 7) if small else (500, 50_000, 384, 50)
    points = points_of(1, width, device, 3) + 0.02 * points_of(size, width, device, 2)
    wanted = top_k(points[:rows], points, k, product="fp32")
    again = []
    for backend in ("fused", "torch"):
        found = top_k(points[:rows], points, k, backend=backend)
        _same(found, wanted)
        again.append(f"{backend} {found.product} {found.repeated}")
    return f"{rows} queries, bit for bit; done again: {', '.join(again)}"


def _unwaited(device: torch.device, small: bool, no_waiting: Wait) -> str:
    from nsbench.benchmarks.search.fused import FusedSearch

    size = 1024 if small else 65_536
    queries, corpus = points_of(size // 8, 64, device, 1), points_of(size, 64, device, 2)
    search = FusedSearch(queries, 10, 64 << 20, None)
    low = search._block(corpus)
    for watch in (nullcontext(), no_waiting(device)):  # once to compile
        with watch:
            search._first_bound(low, 10)
            search._scan(low, 0, size, 40.0, 120.0)
    return "first bound, product, candidates, scores, merging"


def _alone(device: torch.device) -> str:
    wrong, scratch = 0, Scratch(device)
    for width in (24, 65, 384, 1000):
        queries, corpus = points_of(50, width, device, 1), points_of(5000, width, device, 2)
        draw = torch.Generator(device).manual_seed(0)
        row = torch.randint(0, 50, (5000,), device=device, generator=draw).sort().values
        column = torch.arange(5000, device=device)
        whole = keys_of(queries, corpus, 0, row, column, scratch)
        for piece in (1, 7, 64, 1000):
            part = keys_of(queries, corpus, 0, row[-piece:], column[-piece:], scratch)
            wrong += int((part != whole[-piece:]).sum())
        wrong += int((keys_of(queries, corpus, 0, row, column, scratch, 1 << 16) != whole).sum())
    if wrong:
        raise AssertionError(f"{wrong} scores depend on the other scores of the batch")
    return "scores of 1 to 5,000 pairs at a time, bit for bit"


def _in_turn(device: torch.device, small: bool) -> str:
    rows = 700 if small else 20_000
    points = points_of(rows, 32, device, 1)
    for backend in ("torch", "fused"):
        found = top_k(points[:30], points, 9, backend=backend, devices=[device, device])
        _same(found, top_k(points[:30], points, 9))
    return f"{found.devices[0]} twice"


def search_rows(device: torch.device, *, small: bool, repeat: int = 2) -> Iterator[dict[str, Any]]:
    """Times of a search, as rows for the table of `tools.timing.gpu`.

    A "step" of a row is the whole search, its "eager" the blocked search in plain torch: the
    product of a block of queries with all of the corpus in bf16, and ``topk`` of it, whose
    neighbours are those of rounded scores.

    Args:
        device: Where.
        small: For a rehearsal.
        repeat: How often a search runs; the fastest counts.
    """
    interpret(device)
    wanted, rows, width, k = (64, 600, 32, 10) if small else (1_000_000, 1_000_000, 384, 100)
    memory = (64 if small else 8192) << 20
    job = f"top {k}, {wanted} x {rows} x {width}"
    queries, corpus = points_of(wanted, width, device, 1), points_of(rows, width, device, 2)
    work = 2 * wanted * rows * width
    rate = _product_rate(device, width, small)

    def row(how: str, seconds: float, against: float | None, note: str = "") -> dict[str, Any]:
        made: dict[str, Any] = {"job": job, "how": how, "note": note}
        made |= {"ms_per_step": f"{1e3 * seconds:.1f}", "tflops": f"{work / seconds / 1e12:.3g}"}
        made["share_of_product_rate"] = f"{work / seconds / rate:.3f}"
        return made | ({"times_eager": f"{against / seconds:.2f}"} if against else {})

    yield row("product alone, fp16", work / rate, None)
    blocked = _best(device, 1, lambda: _blocked(queries, corpus, k, small))
    yield row("blocked torch, bf16", blocked, blocked, "rounded scores decide")
    try:
        import nsbench.benchmarks.search.kernel  # noqa: F401  # Triton, as it comes with torch
    except ModuleNotFoundError as error:
        yield {"job": job, "how": "backend fused", "note": f"not measured: {error}"}
        return
    found: list[TopK] = []

    def search(asked: Tensor = queries, memory: int = memory) -> None:
        found[:] = [top_k(asked, corpus, k, backend="fused", memory=memory)]

    cut = _choose(device, corpus, small)
    search(queries[:1000])  # kernels are compiled
    seconds = _best(device, repeat, search)
    _same(_rows(found[0], 200), top_k(queries[:200], corpus, k))
    note = f"exact; {found[0].repeated} queries again; {cut}"
    yield row("backend fused", seconds, blocked, note)
    part, less = queries[: wanted // 16], memory // 16
    for product in PRODUCTS_OF["torch"] if device.type == "cuda" else ("auto",):
        seconds = 16 * _best(
            device, 1, partial(top_k, part, corpus, k, memory=memory, product=product)
        )
        note = "reckoned from a sixteenth of the queries; exact"
        yield row(f"backend torch, {product}", seconds, blocked, note)
    seconds = _best(device, 1, lambda: search(memory=less))
    yield row("backend fused", seconds, blocked, f"exact; {less >> 20} MiB of memory")
    shares = _shares(device, lambda: search(queries[: wanted // 4]))
    yield {"job": job, "how": "backend fused", "note": f"a quarter of the queries: {shares}"}


def _rows(found: TopK, rows: int) -> TopK:
    return TopK(found.scores[:rows], found.ids[:rows], found.backend, found.product, 0)


def _best(device: torch.device, times: int, act: Callable[[], object]) -> float:
    """Seconds of the fastest run."""
    seconds = []
    for _ in range(times):
        _wait(device)
        began = time.perf_counter()
        act()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _product_rate(device: torch.device, width: int, small: bool) -> float:
    """Operations per second of a product in fp16 whose result is written as fp16."""
    rows, columns = (128, 256) if small else (16_384, 65_536)
    left = torch.randn(rows, width, device=device).half()
    right = torch.randn(columns, width, device=device).half()
    out = torch.empty(rows, columns, device=device, dtype=torch.float16)
    return 2 * rows * columns * width / _best(device, 6, lambda: torch.mm(left, right.T, out=out))


def _blocked(queries: Tensor, corpus: Tensor, k: int, small: bool) -> Tensor:
    """Plain search: the product of a block of queries with all candidates, and its best."""
    low = corpus.bfloat16().T
    step = 100 if small else 4096
    parts = [(q.bfloat16() @ low).topk(k, dim=1).indices for q in queries.split(step)]
    return torch.cat(parts)


def _choose(device: torch.device, corpus: Tensor, small: bool) -> str:
    """Time cuts of the product on one tile; the fastest is used from now on."""
    from nsbench.benchmarks.search import kernel
    from nsbench.benchmarks.search.fused import _Low

    rows, columns = (256, 512) if small else (16_384, 131_072)
    low = _Low(corpus[:columns], kernel.DEPTH, kernel.COLUMNS, by_row=False)
    queries = _Low(corpus[:rows], kernel.DEPTH, 256, by_row=True)
    bounds = torch.full((len(queries.rows),), torch.inf, device=device)
    shape = (len(queries.rows), len(low.rows) // kernel.WORD)
    words = torch.empty(shape, dtype=torch.int32, device=device)
    found: list[tuple[float, Any]] = []
    for config in kernel.CONFIGS[: 2 if small else None]:

        def scan(config: Any = config) -> None:
            kernel.scan(queries.rows, low.rows, bounds, words, config)

        try:
            scan()
        except Exception as error:  # a cut that this device has no room for
            sys.stderr.write(f"{config}: {type(error).__name__}: {error}\n"[:200])
            continue
        found.append((_best(device, 1 if small else 5, scan), config))
    seconds, config = min(found, key=lambda x: x[0])
    kernel.choose(device, config)
    done = 2 * len(queries.rows) * len(low.rows) * low.depth / 1e12
    for took, each in found:
        sys.stderr.write(f"{each}: {done / took:.0f} TFLOP/s\n")
    cut = f"{config.rows} x {config.columns} x {config.depth}"
    how = f"{config.warps} warps, {config.stages} stages"
    return f"cut {cut}, {how}: the kernel alone {done / seconds:.3g} TFLOP/s"


def _shares(device: torch.device, act: Callable[[], object]) -> str:
    """The kernels that a search spends its time in."""
    from torch.profiler import ProfilerActivity, profile

    cuda = device.type == "cuda"
    kinds = [ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]
    with profile(activities=kinds) as seen:
        act()
        _wait(device)
    field = "self_device_time_total" if cuda else "self_cpu_time_total"
    times = [(float(getattr(e, field, 0.0)), str(e.key)) for e in seen.key_averages()]
    whole = sum(t for t, _ in times) or 1.0
    best = sorted(times, reverse=True)[:8]
    return ", ".join(f"{name[:40]} {t / whole:.0%}" for t, name in best)
