"""The reference search: a cheap product over tiles, and exact scores of the pairs that can matter.

A cheap product over tiles says which pairs can matter, with a proven bound on its rounding; only
those are scored again, each by the same float32 formula, and only such scores decide.
"""

import math
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.search.keys import EMPTY, ids_of, merged, packed, scores_of

_STEP = 8  # scores are looked at through the maxima of 8, and of 64 where there are k of those
_WIDEST = 1 << 16  # columns of a tile; more rows a tile make the product no faster
_TALLEST = 1024
_EVEN = 64  # a tile's height is a multiple of these: others multiply more slowly
_PIECE = 4096
_FEWEST = 64  # pairs at a time: CUDA adds few rows up in another order than many
# Of norms below, the squares, and products with others, may be too small for float32, in which they
# count as nothing: no bound holds. Above, what is lost so is far less than sums are rounded by.
_TINY = 2.0**-50


@dataclass(frozen=True, eq=False)
class TopK:
    """The k best corpus rows of every query, best first; ties go to the lower id.

    Attributes:
        scores: ``(Q, k)`` float32 inner products; -inf in empty places.
        ids: ``(Q, k)`` int64 row of the corpus; -1 in empty places.
        backend: Which backend found the candidates.
        product: Precision of the product that found them: ``fp32``, ``tf32``, ``bf16`` or
            ``fp16``. The scores are fp32 either way.
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


def tf32(rows: Tensor) -> Tensor:
    """The nearest float32 numbers with ten bits behind the point, all that a TF32 product reads.

    A tensor core that is handed others may cut them off, twice as far away.
    """
    bits = rows.view(torch.int32)  # sign and magnitude: a half more in either sign
    return (bits + 0x1000).bitwise_and_(-0x2000).view(torch.float32)


def rounded(rows: Tensor, product: str) -> Tensor:
    """float32 rows as a product of ``bf16``, ``tf32`` or ``fp32`` reads them."""
    if product == "bf16":
        return rows.bfloat16()
    return tf32(rows) if product == "tf32" else rows


def check_capability(device: torch.device, product: str) -> None:
    """See that a device has a product.

    Raises:
        ValueError: If it has not.
    """
    if device.type == "cuda" and product in ("bf16", "tf32"):
        capability = torch.cuda.get_device_capability(device)
        if capability < (8, 0):
            raise ValueError(
                f"top_k: product {product!r} begins at compute capability 8.0, {device} has "
                f"{'.'.join(map(str, capability))}: take fp32, or fp16 of backend 'fused'"
            )


def has_bf16(tensor: Tensor) -> bool:
    """Whether products in bf16 are faster than in fp32 where the tensor lives."""
    if tensor.device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


class Search:
    """The running answer: one int64 key per place, whose order is (score, -id)."""

    def __init__(
        self, queries: Tensor, k: int, memory: int, exclude: Tensor | None, *, product: str
    ) -> None:
        self.queries, self.k = queries, k
        self.product = self.kind = product  # of the record, of a tile
        self.norms = queries.norm(dim=1)  # (Q,)
        self.best = torch.full((len(queries), k), EMPTY, dtype=torch.int64, device=queries.device)
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
        tile = Tile(block, offset, product=self.kind)
        height = min(_TALLEST, self.cells // tile.width, self.crowd // (4 * self.k))
        height = max(1, height // _EVEN * _EVEN or height)
        for start in range(0, len(self.queries), height):
            self._add(tile, start, min(start + height, len(self.queries)))
        self.seen += len(block)

    def _add(self, tile: "Tile", start: int, stop: int) -> None:
        room = self.scratch("values", stop - start, tile.width, dtype=tile.columns.dtype)
        values, slack = tile.product(self.queries[start:stop], self.norms[start:stop], room)
        row, column = self.banned_in(start, stop, tile.offset, len(tile.block))
        values[row, column] = -torch.inf
        reached = scores_of(self.best[start:stop, -1])
        found = _candidates(values, reached, slack, self.k, self.crowd, self.scratch)
        if found is not None:
            self._merge(tile, start, stop, *found)
            return
        self.repeated += 1
        if tile.kind == "bf16":
            self._add(Tile(tile.block, tile.offset, product="fp32"), start, stop)
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
            ids=ids_of(self.best),
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
        product: ``fp32``, ``bf16`` or ``tf32``. Torch decides for all float32 products of a process
            whether they are made in TF32: in such a search all are, and none is done again in fp32.
    """

    def __init__(self, block: Tensor, offset: int, *, product: str) -> None:
        self.block, self.offset, self.kind = block, offset, product
        self.width = -(-len(block) // _STEP**2) * _STEP**2
        low = rounded(block, product)
        self.largest = block.norm(dim=1).max()
        self.lost = torch.zeros_like(self.largest)
        if low is not block:
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
        low = rounded(queries, self.kind)
        values = torch.mm(low, self.columns, out=out)
        values[:, len(self.block) :] = -torch.inf
        slack = rounding_of(queries.shape[1], norms, self.largest)
        if low is not queries:
            lost = (low.float() - queries).norm(dim=1)
            slack = 2 * slack  # tensor cores may cut sums off
            slack = 1.01 * (slack + lost * self.largest + norms * self.lost + lost * self.lost)
        return values, slack.nan_to_num(torch.inf, torch.inf)  # norms too large for float32


def rounding_of(depth: int, norms: Tensor, largest: Tensor) -> Tensor:
    """``(h,)`` bounds on how far two float32 sums of products may be apart; infinite if unknown.

    Args:
        depth: Products.
        norms: ``(h,)`` of the queries.
        largest: ``()`` of the corpus.
    """
    slack = depth * 2.0**-23 * norms * largest
    return slack.where((norms > _TINY) & (largest > _TINY), torch.inf)


def _candidates(
    values: Tensor, reached: Tensor, slack: Tensor, k: int, crowd: int, scratch: "Scratch"
) -> tuple[Tensor, Tensor] | None:
    """Pairs that may belong to the k best; all that do are among them.

    Args:
        values: ``(h, w)`` approximate scores.
        reached: ``(h,)`` exact k-th best score so far, -inf where there are fewer.
        slack: ``(h,)`` largest error of ``values`` before their own rounding.
        k: Places.
        crowd: Largest number of pairs.
        scratch: Memory to work in.

    Returns:
        ``(P,)`` rows, ascending, and columns; ``None`` if there are more pairs than ``crowd``.
    """
    height, width = values.shape
    parts = values.view(height, _STEP, width // _STEP)
    shape = height, width // _STEP
    highest = scratch("highest", *shape, dtype=values.dtype)  # (h, w / 8)
    torch.amax(parts, dim=1, out=highest)
    bound = reached
    if width // _STEP**2 >= k:
        coarse = highest.view(height, _STEP, width // _STEP**2).amax(dim=1)  # (h, w / 64)
    else:
        coarse = highest if width // _STEP >= k else values
    if coarse.shape[1] >= k:
        # At least k values reach the k-th largest of the maxima, so the k-th best score does, too,
        # but for rounding to the product's precision (2^-8 covers bf16 twice) and its error.
        kth = coarse.float().topk(k, dim=1, sorted=False).values.amin(dim=1)  # (h,)
        last = 0.0 if values.dtype == torch.float32 else 2.0**-8
        kth = torch.where(kth > -torch.inf, kth - last * kth.abs() - slack, kth)
        bound = torch.maximum(bound, kth)
    # Rounding keeps order: a score >= bound has a value >= bound - slack, rounded.
    lowest = torch.finfo(values.dtype).min  # -inf is never a candidate
    bound = (bound - slack).to(values.dtype).clamp(min=lowest)[:, None]
    hit = torch.ge(highest, bound, out=scratch("hit", *shape, dtype=torch.bool))
    if int(hit.count_nonzero()) > crowd:
        return None
    row, part = hit.nonzero().unbind(1)
    hit = parts[row, :, part] >= bound[row]  # (H, 8)
    if int(hit.count_nonzero()) > crowd:
        return None
    which, place = hit.nonzero().unbind(1)
    return row[which], part[which] + place * (width // _STEP)


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

    Every score is summed up for itself, so it depends on nothing but the two vectors.

    Args:
        queries: ``(h, d)``.
        block: ``(c, d)``.
        offset: Id of the block's first row.
        row: ``(P,)`` of the queries, ascending.
        column: ``(P,)`` of the block.
        scratch: Memory to work in.
        cells: Products at a time, on a device.
    """
    score = _sampled if queries.device.type == "cpu" else _gathered
    return packed(score(queries, block, row, column, scratch, cells), column + offset)


def _gathered(
    queries: Tensor, block: Tensor, row: Tensor, column: Tensor, scratch: "Scratch", cells: int
) -> Tensor:
    """``(P,)`` float32 inner products of pairs, whose vectors are brought together; no waiting."""
    scores = torch.empty(len(row), device=queries.device)
    width = queries.shape[1]
    step = max(_FEWEST, cells // max(1, width))
    for low in range(0, len(row), step):
        picked, wanted = column[low : low + step], row[low : low + step]
        missing = _FEWEST - len(picked)
        if missing > 0:
            picked, wanted = (torch.cat([x, x.new_zeros(missing)]) for x in (picked, wanted))
        pair = scratch("pair", len(picked), width, dtype=queries.dtype)
        other = scratch("other", len(picked), width, dtype=queries.dtype)
        torch.index_select(block, 0, picked, out=pair)
        torch.index_select(queries, 0, wanted, out=other)
        scores[low : low + step] = pair.mul_(other).sum(dim=1)[: len(row) - low]
    return scores


def _sampled(
    queries: Tensor, block: Tensor, row: Tensor, column: Tensor, scratch: "Scratch", cells: int
) -> Tensor:
    """The same without copies of the vectors: for a CPU, whose memory is slow."""
    counts = torch.bincount(row, minlength=len(queries))
    starts = functional.pad(counts.cumsum(0), (1, 0))
    _hear_of_beta()
    size, zeros = (len(queries), len(block)), queries.new_zeros(len(row))
    wanted = torch.sparse_csr_tensor(starts, column, zeros, size, check_invariants=False)
    found: Tensor = torch.sparse.sampled_addmm(wanted, queries, block.T, beta=0.0).values()
    return found


@cache
def _hear_of_beta() -> None:
    """Let torch say, once in a process, that this layout is in beta, where nobody hears it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.zeros(1, 1).to_sparse_csr()


def _banned(exclude: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Excluded pairs as rows, ascending, and ids."""
    if exclude is None:
        return (torch.zeros(0, dtype=torch.int64, device=device),) * 2
    exclude = exclude.to(device)
    row, place = (exclude >= 0).nonzero().unbind(1)
    return row.contiguous(), exclude[row, place]
