"""Exact search for the most similar rows, in memory that a setting bounds.

A cheap product over blocks says which pairs can matter, with a proven bound on its rounding; only
those are scored again, each by the same float32 formula, and only such scores decide. The answer
is therefore the same, ties included, for every block size, product, thread count and backend.
"""

import math
import numbers
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from nsbench.samplers import at_least, one_of

BACKENDS = ("torch", "faiss", "fused")
PRODUCTS = ("auto", "fp32", "bf16", "fp16")
MEMORY = 256 << 20
SMALLEST = 1 << 20
_PRODUCTS_OF = {"torch": ("fp32", "bf16"), "faiss": ("fp32",), "fused": ("fp16",)}
_STEP = 8  # scores are looked at through the maxima of 8, and of 64 where there are k of those
_WIDEST = 1 << 16  # columns of a tile; more rows a tile make the product no faster
_TALLEST = 1024
_PIECE = 4096
_FEWEST = 64  # pairs at a time: CUDA adds few rows up in another order than many
_EMPTY = -(1 << 63)
_LOW = (1 << 32) - 1  # ids are kept in 32 bits


@dataclass(frozen=True, eq=False)
class TopK:
    """The k best corpus rows of every query, best first; ties go to the lower id.

    Attributes:
        scores: ``(Q, k)`` float32 inner products; -inf in empty places.
        ids: ``(Q, k)`` int64 row of the corpus; -1 in empty places.
        backend: Which backend found the candidates.
        product: Precision of the product that found them: ``fp32``, ``bf16`` or ``fp16``. The
            scores are fp32 either way.
        corpus_size: Rows that were searched.
        repeated: Tiles (torch) or queries (fused) with too many candidates, and queries for which
            faiss's answer was not shown to be complete: they were done again, more finely. They
            cost time, not exactness.
        checked: Queries of the faiss backend that were compared with the reference.
        devices: Where the work was done.
    """

    scores: Tensor
    ids: Tensor
    backend: str
    product: str
    corpus_size: int
    repeated: int = 0
    checked: int = 0
    devices: tuple[str, ...] = ()


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
    """The k corpus rows with the largest inner product, for every query.

    Args:
        queries: ``(Q, d)`` float; their device is where the work is done, but for ``devices``,
            and where the answer is.
        corpus: ``(C, d)``, or an iterable of blocks ``(c, d)`` in the order of their ids, for a
            corpus larger than memory; it is read once.
        k: Rows per query, >= 1. Where fewer are left, empty places follow.
        backend: ``torch``, the reference on any device; ``faiss`` (a flat index, CPU), whose
            completeness is shown row by row and a sample of whose rows is compared; or ``fused``
            (CUDA, by Triton), whose scores never reach memory.
        memory: Bytes for everything but the input and the ``(Q, k)`` answer, about, on each
            device; >= 1 MiB.
        exclude: Optional ``(Q, E)`` int64 ids that a query may not find, -1 for none.
        product: Precision of the filtering product. ``torch``: ``fp32``, ``bf16``, or ``auto``,
            which takes bf16 where the processor has it. ``faiss`` has fp32, ``fused`` fp16, which
            is as fast as bf16 and rounds less. Decides the speed, not the answer.
        devices: Devices that take the blocks of the corpus in turn, each with a copy of the
            queries; none for that of the queries. Their answers are joined.

    Raises:
        ValueError: If a setting is out of range, a device is not there, dimensions differ, the
            corpus is empty or a number is not finite.
        ModuleNotFoundError: If faiss or Triton is asked for and not installed.
        RuntimeError: If faiss and the reference disagree.
    """
    at_least("top_k", "k", k, 1)
    one_of("top_k", "backend", backend, BACKENDS)
    one_of("top_k", "product", product, PRODUCTS)
    if not isinstance(memory, numbers.Integral) or memory < SMALLEST:
        raise ValueError(f"top_k: memory must be at least {SMALLEST} bytes, got {memory!r}")
    if queries.dim() != 2:
        raise ValueError(f"top_k: queries must be (Q, d), got {tuple(queries.shape)}")
    if exclude is not None and (exclude.dim() != 2 or len(exclude) != len(queries)):
        raise ValueError(f"top_k: exclude must be ({len(queries)}, E), got {tuple(exclude.shape)}")
    if product not in ("auto", *_PRODUCTS_OF[backend]):
        raise ValueError(
            f"top_k: backend {backend!r} multiplies in {' or '.join(_PRODUCTS_OF[backend])}, "
            f"product is {product!r}"
        )
    with torch.no_grad(), _exact_products():
        queries = _finite(queries, "queries")
        places = [queries.device] if not devices else [_device(d) for d in devices]
        made: list[Search] = []
        for place in places:
            wanted = queries.to(place)
            if backend == "faiss":
                from nsbench.benchmarks._search_faiss import FaissSearch

                made.append(FaissSearch(wanted, k, int(memory), exclude))
            elif backend == "fused":
                from nsbench.benchmarks._search_fused import FusedSearch

                made.append(FusedSearch(wanted, k, int(memory), exclude))
            else:
                bf16 = product == "bf16" or (product == "auto" and _has_bf16(wanted))
                made.append(Search(wanted, k, int(memory), exclude, bf16=bf16))
        rows = made[0].rows_per_block
        if isinstance(corpus, Tensor):
            rows = min(rows, max(1, -(-len(corpus) // len(made))))
        if not in_turn(made, _blocks(corpus, rows, queries)):
            raise ValueError("top_k: the corpus is empty")
        answers = [search.answer(backend) for search in made]
        found = answers[0] if len(answers) == 1 else _joined(answers, [0] * len(answers))
        return replace(
            found,
            scores=found.scores.to(queries.device),
            ids=found.ids.to(queries.device),
            devices=tuple(map(str, places)),
        )


def check_backend(backend: str, devices: Sequence[torch.device | str] = ()) -> None:
    """See that a backend can run, before there is anything to search.

    Args:
        backend: As of `top_k`.
        devices: Likewise; none for the CPU.

    Raises:
        ValueError: If there is no such backend or device, or it cannot run there.
        ModuleNotFoundError: If its package is not installed.
    """
    few = torch.zeros(1, 1)
    top_k(few, few, 1, backend=backend, devices=devices)


def _device(given: torch.device | str) -> torch.device:
    """A device that is there.

    Raises:
        ValueError: If it is not.
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


def in_turn(searches: Sequence["Search"], blocks: Iterable[Tensor]) -> int:
    """Give the blocks of a corpus to the searches, in turn, each in a thread of its own.

    Returns:
        How many rows there were.
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


def _add(search: "Search", block: Tensor, first: int) -> None:
    with torch.no_grad(), torch.cuda.device_of(search.queries):
        search.add(block.to(search.queries.device), first)


def joined(shards: Sequence[TopK]) -> TopK:
    """One answer from those of several shards of a corpus, searched apart, on one device or more.

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
    """One answer from several, to whose ids numbers are added."""
    keys = []
    for shard, start in zip(shards, first, strict=True):
        packed = _packed(shard.scores, shard.ids + start)
        keys.append(torch.where(shard.ids >= 0, packed, _EMPTY).to(shards[0].ids.device))
    best = torch.cat(keys, dim=1).topk(shards[0].ids.shape[1], dim=1).values
    return replace(
        shards[0],
        scores=scores_of(best),
        ids=_ids(best),
        product="+".join(dict.fromkeys(shard.product for shard in shards)),
        corpus_size=sum(shard.corpus_size for shard in shards),
        repeated=sum(shard.repeated for shard in shards),
        checked=sum(shard.checked for shard in shards),
        devices=tuple(device for shard in shards for device in shard.devices),
    )


def _has_bf16(tensor: Tensor) -> bool:
    """Whether products in bf16 are faster than in fp32 where the tensor lives."""
    if tensor.device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def _exact_products() -> Iterator[None]:
    """Products that keep to their stated rounding: no TF32, no reduction in bf16."""
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


class Search:
    """The running answer: one int64 key per place, whose order is (score, -id)."""

    def __init__(
        self, queries: Tensor, k: int, memory: int, exclude: Tensor | None, *, bf16: bool
    ) -> None:
        self.queries, self.k, self.bf16 = queries, k, bf16
        self.product = "bf16" if bf16 else "fp32"
        self.norms = queries.norm(dim=1)  # (Q,)
        self.best = torch.full((len(queries), k), _EMPTY, dtype=torch.int64, device=queries.device)
        self.seen = self.repeated = self.checked = 0
        self.cells = memory // 12  # scores of a tile; as much again for masks and for candidates
        self.crowd = max(self.cells // 16, 4 * k)  # candidates of a tile
        self.rows_per_block = self.widest(memory, queries.shape[1])
        self.banned = _banned(exclude, queries.device)
        self.scratch = Scratch(queries.device)

    @staticmethod
    def widest(memory: int, width: int) -> int:
        """Rows of a block of vectors that long, for that many bytes."""
        wide = min(_WIDEST, memory // 12 // 64, memory // (16 * max(1, width)))
        return max(_STEP**2, wide // _STEP**2 * _STEP**2)

    def add(self, block: Tensor, offset: int) -> None:
        """Search one block of corpus rows, its first with that id; merge what was found."""
        tile = Tile(block, offset, bf16=self.bf16)
        height = min(_TALLEST, self.cells // tile.width, self.crowd // (4 * self.k))
        for start in range(0, len(self.queries), max(1, height)):
            self._add(tile, start, min(start + max(1, height), len(self.queries)))
        self.seen += len(block)

    def _add(self, tile: "Tile", start: int, stop: int) -> None:
        room = self.scratch("values", stop - start, tile.width, dtype=tile.columns.dtype)
        values, slack = tile.product(self.queries[start:stop], self.norms[start:stop], room)
        row, column = self.banned_in(start, stop, tile.offset, len(tile.block))
        values[row, column] = -torch.inf
        reached = scores_of(self.best[start:stop, -1])
        found = _candidates(values, reached, slack, self.k, self.crowd, self.scratch)
        if found is not None:
            row, column, value, kth = found
            if not self.seen:  # the k best by value, scored first, tell more than their values did
                sure = value >= kth[row]
                self._merge(tile, start, stop, row[sure], column[sure])
                reached = scores_of(self.best[start:stop, -1])
                left = ~sure & (value >= (reached - slack).to(value.dtype)[row])
                row, column = row[left], column[left]
            self._merge(tile, start, stop, row, column)
            return
        self.repeated += 1
        if tile.bf16:
            self._add(Tile(tile.block, tile.offset, bf16=False), start, stop)
        elif stop - start > 1:
            middle = (start + stop) // 2
            self._add(tile, start, middle)
            self._add(tile, middle, stop)
        else:  # one query, and more pairs than room that cannot be told apart: score them all
            for low in range(0, len(tile.block), self.crowd):
                part = torch.arange(low, min(low + self.crowd, len(tile.block)))
                part = part.to(values.device)
                part = part[values[0, part] > -torch.inf]
                self._merge(tile, start, stop, torch.zeros_like(part), part)

    def _merge(self, tile: "Tile", start: int, stop: int, row: Tensor, column: Tensor) -> None:
        keys = keys_of(self.queries[start:stop], tile.block, tile.offset, row, column, self.scratch)
        self.best[start:stop] = merged(self.best[start:stop], row, keys)

    def banned_in(self, start: int, stop: int, offset: int, size: int) -> tuple[Tensor, Tensor]:
        """Excluded pairs of some queries and a block, counted from the start of each."""
        rows, ids = self.banned
        ends = torch.searchsorted(rows, torch.tensor([start, stop], device=rows.device)).tolist()
        rows, ids = rows[ends[0] : ends[1]] - start, ids[ends[0] : ends[1]] - offset
        inside = (ids >= 0) & (ids < size)
        return rows[inside], ids[inside]

    def answer(self, backend: str) -> TopK:
        """The finished answer."""
        return TopK(
            scores=scores_of(self.best),
            ids=_ids(self.best),
            backend=backend,
            product=self.product,
            corpus_size=self.seen,
            repeated=self.repeated,
            checked=self.checked,
        )


class Scratch:
    """Memory that is used again: to ask the system for a large piece costs more than to fill it.

    Args:
        device: Where.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.held: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, *shape: int, dtype: torch.dtype) -> Tensor:
        """Memory of a name, with anything in it; what it held before is lost."""
        size = math.prod(shape)
        held = self.held.get((name, dtype))
        if held is None or len(held) < size:
            held = torch.empty(size, dtype=dtype, device=self.device)
            self.held[name, dtype] = held
        return held[:size].view(shape)


class Tile:
    """A block of corpus rows, ready for products in one precision.

    Args:
        block: ``(c, d)`` float32 rows.
        offset: Id of the first one.
        bf16: Whether products are made in bf16.
    """

    def __init__(self, block: Tensor, offset: int, *, bf16: bool) -> None:
        self.block, self.offset, self.bf16 = block, offset, bf16
        self.width = -(-len(block) // _STEP**2) * _STEP**2
        low = block.bfloat16() if bf16 else block
        self.largest = block.norm(dim=1).max()
        self.lost = torch.zeros_like(self.largest)
        if bf16:
            pieces = zip(low.split(_PIECE), block.split(_PIECE), strict=True)
            self.lost = torch.stack([(a.float() - b).norm(dim=1).max() for a, b in pieces]).max()
        if self.width > len(block):
            low = torch.cat([low, low.new_zeros(self.width - len(block), block.shape[1])])
        self.columns = low.T

    def product(self, queries: Tensor, norms: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Approximate inner products, written to ``out``, and how far they may be off.

        Returns:
            ``(h, width)`` in the product's precision, -inf behind the block's last row; and
            ``(h,)`` bounds on the difference between such a number, before it is rounded to that
            precision, and the exact score.
        """
        low = queries.bfloat16() if self.bf16 else queries
        values = torch.mm(low, self.columns, out=out)
        values[:, len(self.block) :] = -torch.inf
        rounding = queries.shape[1] * 2.0**-23  # of two float32 sums of d products
        slack = rounding * norms * self.largest
        if self.bf16:
            lost = (low.float() - queries).norm(dim=1)
            slack = 1.01 * (slack + lost * self.largest + norms * self.lost + lost * self.lost)
        return values, slack.nan_to_num(torch.inf, torch.inf)  # norms too large for float32


def _candidates(
    values: Tensor, reached: Tensor, slack: Tensor, k: int, crowd: int, scratch: "Scratch"
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Pairs that may belong to the k best; all that do are among them.

    Args:
        values: ``(h, w)`` approximate scores.
        reached: ``(h,)`` exact k-th best score so far, -inf where there are fewer.
        slack: ``(h,)`` largest error of ``values`` before their own rounding.
        k: Places.
        crowd: Largest number of pairs.
        scratch: Memory to work in.

    Returns:
        ``(P,)`` rows, ascending, columns and values, and ``(h,)`` a value that at least k of each
        row's reach, or -inf; ``None`` if there are more pairs than ``crowd``.
    """
    height, width = values.shape
    parts = values.view(height, _STEP, width // _STEP)
    shape = height, width // _STEP
    highest = scratch("highest", *shape, dtype=values.dtype)  # (h, w / 8)
    torch.amax(parts, dim=1, out=highest)
    bound, least = reached, values.new_full((height,), -torch.inf)
    if width // _STEP**2 >= k:
        coarse = highest.view(height, _STEP, width // _STEP**2).amax(dim=1)  # (h, w / 64)
    else:
        coarse = highest if width // _STEP >= k else values
    if coarse.shape[1] >= k:
        # At least k values reach the k-th largest of the maxima, so the k-th best score does, too,
        # but for rounding to the product's precision (2^-8 covers bf16 twice) and its error.
        kth = coarse.float().topk(k, dim=1, sorted=False).values.amin(dim=1)  # (h,)
        least = kth.to(values.dtype)
        rounded = 0.0 if values.dtype == torch.float32 else 2.0**-8
        kth = torch.where(kth > -torch.inf, kth - rounded * kth.abs() - slack, kth)
        bound = torch.maximum(bound, kth)
    # Rounding keeps order: a score >= bound has a value >= bound - slack, rounded.
    lowest = torch.finfo(values.dtype).min  # -inf is never a candidate
    bound = (bound - slack).to(values.dtype).clamp(min=lowest)[:, None]
    hit = torch.ge(highest, bound, out=scratch("hit", *shape, dtype=torch.bool))
    if int(hit.count_nonzero()) > crowd:
        return None
    row, part = hit.nonzero().unbind(1)
    near = parts[row, :, part]  # (H, 8)
    hit = near >= bound[row]
    if int(hit.count_nonzero()) > crowd:
        return None
    which, place = hit.nonzero().unbind(1)
    return row[which], part[which] + place * (width // _STEP), near[which, place], least


def keys_of(
    queries: Tensor,
    block: Tensor,
    offset: int,
    row: Tensor,
    column: Tensor,
    scratch: "Scratch",
    cells: int = 1 << 19,
) -> Tensor:
    """``(P,)`` int64 keys of pairs: exact float32 scores above, ids below, both in order.

    Every score is the sum over one row of products, so it depends on nothing but the two vectors.

    Args:
        queries: ``(h, d)``.
        block: ``(c, d)``.
        offset: Id of the block's first row.
        row: ``(P,)`` of the queries.
        column: ``(P,)`` of the block.
        scratch: Memory to work in.
        cells: Products at a time.
    """
    scores = torch.empty(len(row), device=queries.device)
    width = queries.shape[1]
    step = max(_FEWEST, cells // max(1, width))
    for low in range(0, len(row), step):
        picked, wanted = column[low : low + step], row[low : low + step]
        missing = _FEWEST - len(picked)
        if missing > 0 and queries.device.type == "cuda":
            picked, wanted = (torch.cat([x, x.new_zeros(missing)]) for x in (picked, wanted))
        pair = scratch("pair", len(picked), width, dtype=queries.dtype)
        other = scratch("other", len(picked), width, dtype=queries.dtype)
        torch.index_select(block, 0, picked, out=pair)
        torch.index_select(queries, 0, wanted, out=other)
        scores[low : low + step] = pair.mul_(other).sum(dim=1)[: len(row) - low]
    return _packed(scores, column + offset)


def _packed(scores: Tensor, ids: Tensor) -> Tensor:
    """int64 keys whose order is (score, -id)."""
    bits = (scores + 0.0).view(torch.int32)  # -0.0 becomes 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.long() << 32) | (_LOW - ids)


def _ids(keys: Tensor) -> Tensor:
    """int64 ids of keys; -1 for empty places."""
    return torch.where(keys != _EMPTY, _LOW - (keys & _LOW), -1)


def scores_of(keys: Tensor) -> Tensor:
    """float32 scores of keys; -inf for empty places."""
    ordered = (keys >> 32).to(torch.int32)
    bits = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return torch.where(keys == _EMPTY, -torch.inf, bits.view(torch.float32))


def merged(best: Tensor, row: Tensor, keys: Tensor) -> Tensor:
    """``(h, k)`` the largest of ``(h, k)`` keys and ``(P,)`` new ones of ascending rows."""
    if not len(row):
        return best
    height, k = best.shape
    counts = torch.bincount(row, minlength=height)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    most = int(counts.max())
    step = min(most, max(4 * k, 1024))
    for low in range(0, most, step):
        inside = (place >= low) & (place < low + step)
        both = torch.cat([best, best.new_full((height, step), _EMPTY)], dim=1)
        both[row[inside], k + place[inside] - low] = keys[inside]
        best = both.topk(k, dim=1).values
    return best


def _banned(exclude: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Excluded pairs as rows, ascending, and ids."""
    if exclude is None:
        return (torch.zeros(0, dtype=torch.int64, device=device),) * 2
    exclude = exclude.to(device)
    row, place = (exclude >= 0).nonzero().unbind(1)
    return row.contiguous(), exclude[row, place]
