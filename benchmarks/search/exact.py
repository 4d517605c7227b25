"""Exact search for the most similar rows, in memory that a setting bounds.

A cheap product finds candidates that are proven complete; only exact scores, all by one formula,
decide. The answer is therefore the same, ties included, for every block size, product, thread
count and backend.
"""

import numbers
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.precision import has_bf16
from nsbench.benchmarks.search import BACKENDS
from nsbench.benchmarks.search.blocked import Search
from nsbench.benchmarks.search.blocked import TopK as TopK  # part of what is offered here
from nsbench.benchmarks.search.keys import EMPTY, ids_of, packed, scores_of
from nsbench.samplers import at_least, one_of

PRODUCTS = ("auto", "fp32", "bf16", "fp16")
MEMORY = 256 << 20
SMALLEST = 1 << 20
PRODUCTS_OF = {
    "torch": ("fp32", "bf16"),
    "faiss": ("fp32",),
    "fused": ("fp16",),
}
"""Precisions in which a backend multiplies; ``auto`` chooses one of them."""


def top_k(
    queries: Tensor,
    corpus: Tensor | Iterable[Tensor],
    k: int,
    *,
    backend: str = "torch",
    memory: int = MEMORY,
    exclude: Tensor | None = None,
    product: str = "auto",
    devices: Sequence[torch.device | str] = (),
) -> TopK:
    """Find the k corpus rows with the largest inner product, for every query.

    Args:
        queries: ``(Q, d)`` float. The answer is on their device; so is the work, unless
            ``devices`` says otherwise.
        corpus: ``(C, d)``, or an iterable of blocks ``(c, d)`` in the order of their ids, for a
            corpus larger than memory; it is read once.
        k: Rows per query, >= 1. Where fewer are left, empty places follow.
        backend: ``torch``, the reference on any device; ``faiss`` (a flat index, on
            CUDA with its GPU build), whose completeness is shown row by row and a sample of whose
            rows is compared; or ``fused`` (CUDA, by Triton), whose scores never reach memory.
        memory: Approximate bytes on each device, in addition to the input and the ``(Q, k)``
            answer; >= 1 MiB.
        exclude: Optional ``(Q, E)`` int64 ids that a query may not find, -1 for none.
        product: Precision of the filtering product. ``torch``: ``fp32``, ``bf16``,
            or ``auto``, which takes bf16 where the processor has it. ``faiss``: ``fp32``.
            ``fused``: ``fp16``. Decides the speed, not the answer.
        devices: Devices that take the blocks of the corpus in turn, each with a copy of the
            queries; none for that of the queries. Their answers are joined.

    Raises:
        ValueError: If a setting is out of range, a device does not exist, dimensions differ, the
            corpus is empty, a number is not finite, or faiss cannot use the device.
        ModuleNotFoundError: If faiss or Triton is asked for and not installed.
        RuntimeError: If faiss and the reference disagree.
    """
    _check(queries, k, backend=backend, memory=memory, exclude=exclude, product=product)
    with torch.no_grad(), _exact_products():
        queries = _finite(queries, "queries")
        places = [_device(d) for d in devices] or [queries.device]
        searches = [
            _search(backend, queries.to(at), k, int(memory), exclude, product) for at in places
        ]
        rows = searches[0].rows_per_block
        if isinstance(corpus, Tensor):
            rows = min(rows, max(1, -(-len(corpus) // len(searches))))
        if not in_turn(searches, _blocks(corpus, rows, queries)):
            raise ValueError("top_k: the corpus is empty")
        answers = [search.answer(backend) for search in searches]
        found = answers[0] if len(answers) == 1 else _joined(answers, [0] * len(answers))
        return replace(
            found,
            scores=found.scores.to(queries.device),
            ids=found.ids.to(queries.device),
            devices=tuple(map(str, places)),
        )


def _check(
    queries: Tensor, k: int, *, backend: str, memory: int, exclude: Tensor | None, product: str
) -> None:
    """Raise ``ValueError`` for settings of `top_k` that are out of range or do not fit."""
    at_least("top_k", "k", k, 1)
    one_of("top_k", "backend", backend, BACKENDS)
    one_of("top_k", "product", product, PRODUCTS)
    if not isinstance(memory, numbers.Integral) or memory < SMALLEST:
        raise ValueError(f"top_k: memory must be at least {SMALLEST} bytes, got {memory!r}")
    if queries.dim() != 2:
        raise ValueError(f"top_k: queries must be (Q, d), got {tuple(queries.shape)}")
    if exclude is not None and (exclude.dim() != 2 or len(exclude) != len(queries)):
        raise ValueError(f"top_k: exclude must be ({len(queries)}, E), got {tuple(exclude.shape)}")
    if product not in ("auto", *PRODUCTS_OF[backend]):
        raise ValueError(
            f"top_k: backend {backend!r} multiplies in {' or '.join(PRODUCTS_OF[backend])}, "
            f"product is {product!r}"
        )


def _search(
    backend: str, queries: Tensor, k: int, memory: int, exclude: Tensor | None, product: str
) -> Search:
    if backend == "faiss":
        from nsbench.benchmarks.search.by_faiss import FaissSearch

        return FaissSearch(queries, k, memory, exclude)
    if backend == "fused":
        from nsbench.benchmarks.search.fused import FusedSearch

        return FusedSearch(queries, k, memory, exclude)
    if product == "auto":
        product = "bf16" if has_bf16(queries.device) else "fp32"
    return Search(queries, k, memory, exclude, product=product)


def check_backend(backend: str, devices: Sequence[torch.device | str] = ()) -> None:
    """Check that a backend can run, before there is anything to search.

    Raises:
        ValueError: If there is no such backend or device, or it cannot run there.
        ModuleNotFoundError: If its package is not installed.
    """
    few = torch.zeros(1, 1)
    top_k(few, few, 1, backend=backend, devices=devices)


def _device(given: torch.device | str) -> torch.device:
    """Return an existing device.

    Raises:
        ValueError: If it does not exist.
    """
    try:
        device = torch.device(given)
        there = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"top_k: there is no device {str(given)!r}: {first}") from None
    if there.type not in ("cpu", "cuda"):
        raise ValueError(f"top_k: devices are cpu, cuda or cuda:0, got {str(given)!r}")
    return there


def in_turn(searches: Sequence[Search], blocks: Iterable[Tensor]) -> int:
    """Give the blocks of a corpus to the searches in turn, each search in its own thread.

    Returns:
        Number of rows.
    """
    first = 0
    if len(searches) == 1:
        for block in blocks:
            _add(searches[0], block, first)
            first += len(block)
        return first
    with ExitStack() as stack:
        threads = [stack.enter_context(ThreadPoolExecutor(1)) for _ in searches]
        waiting: deque[Future[None]] = deque()
        for search, thread, block in zip(cycle(searches), cycle(threads), blocks, strict=False):
            waiting.append(thread.submit(_add, search, block, first))
            first += len(block)
            if len(waiting) > len(searches):  # as many blocks wait as are searched
                waiting.popleft().result()
        for left in waiting:
            left.result()
    return first


def _add(search: Search, block: Tensor, first: int) -> None:
    with torch.no_grad(), torch.cuda.device_of(search.queries):
        search.add(block.to(search.queries.device), first)


def joined(shards: Sequence[TopK]) -> TopK:
    """Join the answers from shards of a corpus that were searched separately.

    Args:
        shards: Answers to the same queries with the same k, in the order of the shards; ids of
            the whole count through them.

    Raises:
        ValueError: If there is none, or their shapes differ.
    """
    if len({shard.ids.shape for shard in shards}) != 1:
        raise ValueError(f"joined: shapes differ: {[tuple(s.ids.shape) for s in shards]}")
    sizes = [shard.corpus_size for shard in shards]
    return _joined(shards, [sum(sizes[:i]) for i in range(len(sizes))])


def _joined(shards: Sequence[TopK], first: Sequence[int]) -> TopK:
    """Join answers after adding each one's ``first`` to its ids."""
    keys = []
    for shard, start in zip(shards, first, strict=True):
        found = packed(shard.scores, shard.ids + start)
        keys.append(torch.where(shard.ids >= 0, found, EMPTY).to(shards[0].ids.device))
    best = torch.cat(keys, dim=1).topk(shards[0].ids.shape[1], dim=1).values
    return replace(
        shards[0],
        scores=scores_of(best),
        ids=ids_of(best),
        product="+".join(dict.fromkeys(shard.product for shard in shards)),
        corpus_size=sum(shard.corpus_size for shard in shards),
        repeated=sum(shard.repeated for shard in shards),
        checked=sum(shard.checked for shard in shards),
        devices=tuple(device for shard in shards for device in shard.devices),
    )


@contextmanager
def _exact_products() -> Iterator[None]:
    """Make products keep to their stated rounding: no TF32, no reduction in bf16."""
    settings: Any = torch.backends.cuda.matmul
    before = settings.fp32_precision, settings.allow_bf16_reduced_precision_reduction
    settings.fp32_precision = "ieee"
    settings.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        settings.fp32_precision, settings.allow_bf16_reduced_precision_reduction = before


def _finite(tensor: Tensor, name: str) -> Tensor:
    tensor = tensor.detach().float().contiguous()
    if tensor.numel() and not bool(torch.isfinite(torch.stack(tensor.aminmax())).all()):
        raise ValueError(f"top_k: {name} hold NaN or infinite numbers")
    return tensor


def _blocks(corpus: Tensor | Iterable[Tensor], rows: int, like: Tensor) -> Iterator[Tensor]:
    """The corpus in blocks of at most ``rows`` rows; small blocks of a stream are joined."""
    waiting: list[Tensor] = []
    for given in [corpus] if isinstance(corpus, Tensor) else corpus:
        if given.dim() != 2 or given.shape[1] != like.shape[1]:
            raise ValueError(
                f"top_k: queries have {like.shape[1]} dimensions, "
                f"the corpus block is {tuple(given.shape)}"
            )
        for part in given.split(rows):
            if sum(map(len, waiting)) + len(part) > rows:
                yield torch.cat(waiting) if len(waiting) > 1 else waiting[0]
                waiting = []
            if len(part):
                waiting.append(_finite(part.to(like.device), "rows of the corpus"))
    if waiting:
        yield torch.cat(waiting) if len(waiting) > 1 else waiting[0]
