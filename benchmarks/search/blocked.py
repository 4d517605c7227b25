"""The reference search: a cheap product over tiles, then exact scores of the pairs that can matter.

A proven bound on the rounding of the product says which pairs can matter. They are scored again by
one float32 formula, and only these scores decide.
"""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.search.keys import EMPTY, ids_of, merged, packed, scores_of
from nsbench.samplers._cache import cached

_GROUP = 8  # the maxima of 8 scores, or of 64 where there are k of those, are compared first
_MAX_COLUMNS = 1 << 16  # of a tile; more make the product no faster
_MAX_ROWS = 1024  # of a tile
_ROW_MULTIPLE = 64  # a tile of another height multiplies more slowly
_ROWS_AT_ONCE = 4096
_MIN_PAIRS = 64  # scored at once: CUDA sums few rows in another order than many
# Squares and products of smaller norms may underflow float32, so that no error bound holds. Above,
# what underflows is far less than the rounding of sums.
_MIN_NORM = 2.0**-50


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
        repeated: Tiles (torch) or queries (fused) with too many candidates, or queries (faiss)
            whose answer was not proven complete. Repeating them costs time, not exactness.
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


class Search:
    """The best rows so far: one int64 key per place, whose order is (score, -id)."""

    def __init__(
        self, queries: Tensor, k: int, memory: int, exclude: Tensor | None, *, product: str
    ) -> None:
        self.queries, self.k = queries, k
        self.product = product  # as the answer names it
        self.precision = product  # of a tile's product
        self.norms = queries.norm(dim=1)  # (Q,)
        self.best = torch.full((len(queries), k), EMPTY, dtype=torch.int64, device=queries.device)
        self.seen = self.repeated = self.checked = 0
        self.tile_scores = memory // 12  # 4 bytes each, as much for masks, as much for candidates
        self.max_candidates = max(self.tile_scores // 16, 4 * k)  # of a tile
        self.rows_per_block = self.block_rows(memory, queries.shape[1])
        self.banned = _banned(exclude, queries.device)
        self.scratch = Scratch(queries.device)
        # Numbers multiplied at once when pairs are scored: as many as caches hold.
        few = 1 << 19
        self.piece = few if queries.device.type == "cpu" else min(1 << 23, max(few, memory // 32))

    @staticmethod
    def block_rows(memory: int, width: int) -> int:
        """Rows of a block, given the memory in bytes and the dimensions of a vector."""
        rows = min(_MAX_COLUMNS, memory // 12 // 64, memory // (16 * max(1, width)))
        return max(_GROUP**2, rows // _GROUP**2 * _GROUP**2)

    def add(self, block: Tensor, offset: int) -> None:
        """Search one block of corpus rows, the first of which has id ``offset``."""
        tile = Tile(block, offset, product=self.precision)
        height = min(_MAX_ROWS, self.tile_scores // tile.width, self.max_candidates // (4 * self.k))
        height = max(1, height // _ROW_MULTIPLE * _ROW_MULTIPLE or height)
        for start in range(0, len(self.queries), height):
            self._add(tile, start, min(start + height, len(self.queries)))
        self.seen += len(block)

    def _add(self, tile: "Tile", start: int, stop: int) -> None:
        room = self.scratch("values", stop - start, tile.width, dtype=tile.columns.dtype)
        values, slack = tile.product(self.queries[start:stop], self.norms[start:stop], room)
        row, column = self.banned_in(start, stop, tile.offset, len(tile.block))
        values[row, column] = -torch.inf
        reached = scores_of(self.best[start:stop, -1])
        found = _candidates(values, reached, slack, self.k, self.max_candidates, self.scratch)
        if found is not None:
            self._merge(tile, start, stop, *found)
            return
        self.repeated += 1
        if tile.precision == "bf16":
            self._add(Tile(tile.block, tile.offset, product="fp32"), start, stop)
        elif stop - start > 1:
            middle = (start + stop) // 2
            self._add(tile, start, middle)
            self._add(tile, middle, stop)
        else:  # one query with more possible candidates than there is room for: score all pairs
            for low in range(0, len(tile.block), self.max_candidates):
                part = torch.arange(low, min(low + self.max_candidates, len(tile.block)))
                part = part.to(values.device)
                part = part[values[0, part] > -torch.inf]
                self._merge(tile, start, stop, torch.zeros_like(part), part)

    def _merge(self, tile: "Tile", start: int, stop: int, row: Tensor, column: Tensor) -> None:
        keys = keys_of(
            self.queries[start:stop],
            tile.block,
            tile.offset,
            row,
            column,
            self.scratch,
            self.piece,
        )
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
    """Memory that is reused, because allocating a large piece costs more than filling it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.held: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, *shape: int, dtype: torch.dtype) -> Tensor:
        """Return uninitialised memory; what was held under this name and type is overwritten."""
        size = math.prod(shape)
        held = self.held.get((name, dtype))
        if held is None or len(held) < size:
            held = torch.empty(size, dtype=dtype, device=self.device)
            self.held[name, dtype] = held
        return held[:size].view(shape)


class Tile:
    """A block of corpus rows, prepared for products in one precision.

    Args:
        block: ``(c, d)`` float32 rows.
        offset: Id of the first one.
        product: ``fp32`` or ``bf16``.
    """

    def __init__(self, block: Tensor, offset: int, *, product: str) -> None:
        self.block, self.offset, self.precision = block, offset, product
        self.width = -(-len(block) // _GROUP**2) * _GROUP**2
        low = block.bfloat16() if product == "bf16" else block
        self.largest = block.norm(dim=1).max()
        self.lost = torch.zeros_like(self.largest)
        if low is not block:
            pieces = zip(low.split(_ROWS_AT_ONCE), block.split(_ROWS_AT_ONCE), strict=True)
            self.lost = torch.stack([(a.float() - b).norm(dim=1).max() for a, b in pieces]).max()
        if self.width > len(block):
            low = torch.cat([low, low.new_zeros(self.width - len(block), block.shape[1])])
        self.columns = low.T

    def product(self, queries: Tensor, norms: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Write approximate inner products to ``out``, and bound their errors.

        Returns:
            ``(h, width)`` products in the tile's precision, -inf in columns without a row; and
            ``(h,)`` bounds on their errors before they are rounded to that precision.
        """
        low = queries.bfloat16() if self.precision == "bf16" else queries
        values = torch.mm(low, self.columns, out=out)
        values[:, len(self.block) :] = -torch.inf
        slack = rounding_of(queries.shape[1], norms, self.largest)
        if low is not queries:
            lost = (low.float() - queries).norm(dim=1)
            slack = 2 * slack  # tensor cores may truncate sums
            slack = 1.01 * (slack + lost * self.largest + norms * self.lost + lost * self.lost)
        return values, slack.nan_to_num(torch.inf, torch.inf)  # a norm overflowed


def rounding_of(depth: int, norms: Tensor, largest: Tensor) -> Tensor:
    """Return ``(h,)`` bounds on the difference of two float32 sums of products, or infinity.

    Args:
        depth: Number of products in a sum.
        norms: ``(h,)`` of the queries.
        largest: ``()`` of the corpus.
    """
    slack = depth * 2.0**-23 * norms * largest
    return slack.where((norms > _MIN_NORM) & (largest > _MIN_NORM), torch.inf)


def _candidates(
    values: Tensor, reached: Tensor, slack: Tensor, k: int, most: int, scratch: "Scratch"
) -> tuple[Tensor, Tensor] | None:
    """Find all pairs that may belong to the k best.

    Args:
        values: ``(h, w)`` approximate scores.
        reached: ``(h,)`` exact k-th best score so far, -inf where there are fewer.
        slack: ``(h,)`` bound on the error of ``values`` before their own rounding.
        k: Places.
        most: Largest number of pairs.
        scratch: Memory to work in.

    Returns:
        ``(P,)`` rows, ascending, and columns; ``None`` if there are more pairs than ``most``.
    """
    height, width = values.shape
    parts = values.view(height, _GROUP, width // _GROUP)
    shape = height, width // _GROUP
    highest = scratch("highest", *shape, dtype=values.dtype)  # (h, w / 8)
    torch.amax(parts, dim=1, out=highest)
    bound = reached
    if width // _GROUP**2 >= k:
        coarse = highest.view(height, _GROUP, width // _GROUP**2).amax(dim=1)  # (h, w / 64)
    else:
        coarse = highest if width // _GROUP >= k else values
    if coarse.shape[1] >= k:
        # At least k values reach the k-th largest of the maxima. So does the k-th best score, less
        # the rounding to the product's precision (2^-8 covers bf16 twice) and the error.
        kth = coarse.float().topk(k, dim=1, sorted=False).values.amin(dim=1)  # (h,)
        last = 0.0 if values.dtype == torch.float32 else 2.0**-8
        kth = torch.where(kth > -torch.inf, kth - last * kth.abs() - slack, kth)
        bound = torch.maximum(bound, kth)
    # Rounding is monotonic: a score >= bound has a value >= bound - slack, rounded.
    lowest = torch.finfo(values.dtype).min  # -inf is never a candidate
    bound = (bound - slack).to(values.dtype).clamp(min=lowest)[:, None]
    hit = torch.ge(highest, bound, out=scratch("hit", *shape, dtype=torch.bool))
    if int(hit.count_nonzero()) > most:
        return None
    row, part = hit.nonzero().unbind(1)
    hit = parts[row, :, part] >= bound[row]  # (H, 8)
    if int(hit.count_nonzero()) > most:
        return None
    which, place = hit.nonzero().unbind(1)
    return row[which], part[which] + place * (width // _GROUP)


def keys_of(
    queries: Tensor,
    block: Tensor,
    offset: int,
    row: Tensor,
    column: Tensor,
    scratch: "Scratch",
    cells: int = 1 << 19,
) -> Tensor:
    """Return ``(P,)`` int64 keys of pairs: exact float32 scores in the high bits, ids in the low.

    Every score is summed separately, so it depends on the two vectors only.

    Args:
        queries: ``(h, d)``.
        block: ``(c, d)``.
        offset: Id of the block's first row.
        row: ``(P,)`` of the queries, ascending.
        column: ``(P,)`` of the block.
        scratch: Memory to work in.
        cells: Products at once, on a GPU.
    """
    score = _sample_scores if queries.device.type == "cpu" else _gather_scores
    return packed(score(queries, block, row, column, scratch, cells), column + offset)


def _gather_scores(
    queries: Tensor, block: Tensor, row: Tensor, column: Tensor, scratch: "Scratch", cells: int
) -> Tensor:
    """Copy the vectors of each pair next to each other; never waits for the device."""
    scores = torch.empty(len(row), device=queries.device)
    width = queries.shape[1]
    step = max(_MIN_PAIRS, cells // max(1, width))
    for low in range(0, len(row), step):
        picked, wanted = column[low : low + step], row[low : low + step]
        missing = _MIN_PAIRS - len(picked)
        if missing > 0:
            picked, wanted = (torch.cat([x, x.new_zeros(missing)]) for x in (picked, wanted))
        pair = scratch("pair", len(picked), width, dtype=queries.dtype)
        other = scratch("other", len(picked), width, dtype=queries.dtype)
        torch.index_select(block, 0, picked, out=pair)
        torch.index_select(queries, 0, wanted, out=other)
        scores[low : low + step] = pair.mul_(other).sum(dim=1)[: len(row) - low]
    return scores


def _sample_scores(
    queries: Tensor, block: Tensor, row: Tensor, column: Tensor, scratch: "Scratch", cells: int
) -> Tensor:
    """Score pairs without copies of the vectors, for a CPU, whose memory is slow."""
    counts = torch.bincount(row, minlength=len(queries))
    starts = functional.pad(counts.cumsum(0), (1, 0))
    _silence_beta_warning()
    size, zeros = (len(queries), len(block)), queries.new_zeros(len(row))
    wanted = torch.sparse_csr_tensor(starts, column, zeros, size, check_invariants=False)
    found: Tensor = torch.sparse.sampled_addmm(wanted, queries, block.T, beta=0.0).values()
    return found


@cached(1)
def _silence_beta_warning() -> None:
    """Use up torch's warning, once per process, that sparse CSR tensors are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.zeros(1, 1).to_sparse_csr()


def _banned(exclude: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the excluded pairs as rows, ascending, and ids."""
    if exclude is None:
        return (torch.zeros(0, dtype=torch.int64, device=device),) * 2
    exclude = exclude.to(device)
    row, place = (exclude >= 0).nonzero().unbind(1)
    return row.contiguous(), exclude[row, place]
