"""Candidates of an exact search from a product that a Triton kernel filters in its epilogue."""

import copy
import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.precision import has_bf16
from nsbench.benchmarks.search.blocked import Search, keys_of
from nsbench.benchmarks.search.keys import EMPTY, scores_of

_PAIR = 72  # bytes of a pair in work: row, column, key, places, masks
_TALLEST = 1 << 16
_FINER = 8  # times as much room for crowded queries that are repeated
# Rows of a block, for each place, that give the first bound: multiplying them twice costs about as
# much as scoring the candidates that a worse bound would admit.
_SAMPLE = 2600
_BYTES = 2  # of an operand, fp16
_SURE = 4  # groups of the sample for each of the k places, if there are enough


class FusedSearch(Search):
    """A `Search` that scans a block in steps, each bounded by what earlier steps found.

    The pairs of a tile go to buffers of a fixed size, so a step waits for the device only once, at
    its end, to read how full they are. A query that finds more than its share is marked, none of
    its pairs are kept, and it is repeated with more room, and finally by the reference.

    The first bound is the k-th largest of the maxima over disjoint groups of a sample spread over
    the block: at least k rows reach it.
    """

    def __init__(self, queries: Tensor, k: int, memory: int, exclude: Tensor | None) -> None:
        super().__init__(
            queries, k, memory, exclude, product="bf16" if has_bf16(queries.device) else "fp32"
        )
        self.kernel = _kernel(queries.device)
        self.product = "fp16"
        self.memory = memory
        width = max(1, queries.shape[1])
        wide = min(1 << 22, memory // (8 * _BYTES * width)) // self.kernel.COLUMNS
        self.rows_per_block = max(1, wide) * self.kernel.COLUMNS
        row, ids = self.banned
        self.most_banned = int(torch.bincount(row, minlength=1).max())
        self.banned_keys = ((row << 32) | ids).sort().values
        self.floor = torch.full_like(self.norms, -torch.inf)  # (Q,) lower bound of the k-th best
        self.offset = 0  # id of the first row of a block
        self.crowding = 1.0  # ratio of candidates found to candidates expected
        self.underflow = queries.shape[1] * 2.0**-149  # of an exact score's products

    def add(self, block: Tensor, offset: int) -> None:
        """Search one block of corpus rows, the first of which has id ``offset``."""
        if not len(self.queries):
            self.seen += len(block)
            return
        places = self.k + self.most_banned
        low = self._block(block)
        self.offset = offset
        known = self.seen
        if self.seen < max(len(block), places):
            known = max(known, self._first_bound(low, places))
        if known < places:  # too few rows for a bound: the reference searches them
            super().add(block, offset)
            return
        done = 0
        while done < len(block):
            size = max(self.kernel.COLUMNS, min(known, self._widest()))
            stop = min(len(block), done + size // self.kernel.COLUMNS * self.kernel.COLUMNS)
            expected = self.crowding * places * (stop - done) / known
            counts = self._scan(low, done, stop, 1.3 * expected + 16, 4 * expected + 64)
            crowded = counts.lt(0)
            number, found = torch.stack([crowded.sum(), counts.abs().sum()]).tolist()  # waits
            self.crowding *= min(8.0, max(0.25, found / len(counts) / expected))
            if number:
                self._again(low, done, stop, crowded.nonzero()[:, 0], 4 * _FINER * expected + 64)
            done = stop
            known = max(known, self.seen + done)
        self.seen += len(block)

    def _widest(self) -> int:
        """Columns of a step, so that words and pairs of a few hundred queries fit."""
        return max(int(self.kernel.COLUMNS), min(1 << 22, 8 * (self.memory // 4) // 512))

    def _first_bound(self, low: "_Low", places: int) -> int:
        """Raise the floor by a sample; return how many rows it is worth, 0 for none."""
        rows, config = len(low.block), self._config()
        tiles = min(rows, _SAMPLE * places) // config.columns
        sample = tiles * config.columns
        for group in self.kernel.GROUPS:
            groups = sample // group
            if groups >= _SURE * places or (group == self.kernel.GROUPS[-1] and groups >= places):
                break
        else:
            return 0
        tall = max(1, self.memory // 4 // (8 * groups + 2 * _BYTES * low.depth))
        for start in range(0, len(self.queries), tall):
            part = slice(start, start + tall)
            queries = self._queries(part)
            found = self.kernel.maxima(queries.rows, low.rows, group, tiles, rows // sample, config)
            best = found[: len(queries.block)].topk(places, dim=1, sorted=False).values.amin(dim=1)
            small, large = _scales(queries, low)
            best = (best - self._slack(queries, low)) / large / small
            self.floor[part] = torch.maximum(self.floor[part], best - self.underflow)
        # So many rows drawn at random have their best in as many groups as there are places.
        drawn = -groups * math.log1p(-min(places / groups, 0.99))
        return round(float(sample * places / drawn))

    def _config(self) -> Any:
        return self.kernel.config_of(self.queries.device)

    def _block(self, block: Tensor) -> "_Low":
        kernel = self.kernel
        return _Low(block, kernel.DEPTH, kernel.COLUMNS, by_row=False)

    def _queries(self, part: slice) -> "_Low":
        depth, tall = self.kernel.DEPTH, self._config().rows
        return _Low(self.queries[part], depth, tall, by_row=True)

    def _slack(self, queries: "_Low", low: "_Low") -> Tensor:
        """Return ``(h,)`` bounds on the error of the product's scores, scaled.

        Let q' and x' be the rounded q and x. By Cauchy and Schwarz, |q'x' - qx| <= |q' - q| |x| +
        |q| |x' - x| + |q' - q| |x' - x|. We round them before the product: the loss is
        measured, and a tensor core has nothing left to round or truncate in an operand.
        Added to it is the rounding of two float32 sums of d products, summed in any order, rounded
        or truncated. (Tensor cores multiply exactly and truncate every addend at the last place of
        the largest: Fasi, Higham, Mikaitis, Pranesh 2021, "Numerical behavior of NVIDIA tensor
        cores".) ``underflow`` covers what an exact score loses below float32's smallest number.
        """
        rounding = (self.queries.shape[1] + 8) * 2.0**-22 * queries.norms * low.norms
        lost = queries.lost * low.norms + queries.norms * low.lost + queries.lost * low.lost
        slack: Tensor = 1.01 * (rounding + lost)
        return slack

    def _scan(self, low: "_Low", begin: int, stop: int, room: float, most: float) -> Tensor:
        """Search columns ``begin`` to ``stop`` of a block.

        Args:
            low: The block.
            begin: First column, a multiple of ``COLUMNS``.
            stop: Behind the last.
            room: Largest mean number of pairs per query.
            most: Largest number of pairs of one query.

        Returns:
            ``(Q,)`` numbers of pairs; negative where there was no room and nothing was merged.
        """
        columns = stop - begin
        wide = min(columns, math.ceil(most))
        mean = min(wide, math.ceil(room))
        words = -(-columns // self.kernel.COLUMNS) * (self.kernel.COLUMNS // self.kernel.WORD)
        row_bytes = 4 * words + _PAIR * mean + 24 * (self.k + wide)
        row_bytes += 2 * _BYTES * low.depth
        tall = max(1, min(_TALLEST, self.memory // 2 // row_bytes))
        counts = [
            self._tile(low, begin, stop, slice(start, start + tall), mean, wide)
            for start in range(0, len(self.queries), tall)
        ]
        return torch.cat(counts)

    def _tile(
        self, low: "_Low", begin: int, stop: int, part: slice, mean: int, wide: int
    ) -> Tensor:
        queries, best = self._queries(part), self.best[part]
        height, width = len(best), stop - begin
        self.floor[part] = torch.maximum(self.floor[part], scores_of(best[:, -1]))
        bound, (small, large) = self.floor[part] - self.underflow, _scales(queries, low)
        bounds = torch.full((len(queries.rows),), torch.inf, device=bound.device)
        bounds[:height] = bound * small * large - self._slack(queries, low)
        rows = low.rows[begin : -(-stop // self.kernel.COLUMNS) * self.kernel.COLUMNS]
        words = torch.empty(
            len(bounds), len(rows) // self.kernel.WORD, dtype=torch.int32, device=bound.device
        )
        self.kernel.scan(queries.rows, rows, bounds, words, self._config())

        counts = self.kernel.count(words[:height], width)
        taken = torch.where(counts <= wide, counts, 0)
        ends = taken.cumsum(0)
        room = height * mean
        taken = torch.where(ends <= room, taken, 0)
        starts = torch.where(taken > 0, ends - taken, -1).int()
        row, column = self.kernel.collect(words[:height], width, starts, room)
        place = torch.arange(room, device=row.device)
        there = place < torch.where(taken > 0, ends, 0).amax()
        row, column = row.where(there, height - 1), column + begin
        keys = keys_of(
            self.queries[part], low.block, self.offset, row, column, self.scratch, self.piece
        )
        keys = keys.where(there & ~self._is_banned(row + part.start, column + self.offset), EMPTY)
        # Each query's best so far, then its new pairs; unused entries go to one last place.
        both = keys.new_full((height * (self.k + wide) + 1,), EMPTY)
        table = both[:-1].view(height, self.k + wide)
        table[:, : self.k] = best
        target = row * (self.k + wide) + self.k + place - starts[row]
        both.scatter_(0, target.where(there, len(both) - 1), keys)
        self.best[part] = table.topk(self.k, dim=1).values
        return torch.where(taken == counts, counts, -counts)

    def _is_banned(self, row: Tensor, ids: Tensor) -> Tensor:
        if not len(self.banned_keys):
            return torch.zeros_like(row, dtype=torch.bool)
        wanted = (row << 32) | ids
        place = torch.searchsorted(self.banned_keys, wanted)
        return self.banned_keys[place.clamp(max=len(self.banned_keys) - 1)] == wanted

    def _again(self, low: "_Low", begin: int, stop: int, rows: Tensor, most: float) -> None:
        """Repeat some queries with more room, and those that still lack room by the reference."""
        self.repeated += len(rows)
        for part in rows.split(max(1, self.memory // 4 // (2 * _BYTES * low.depth + 8 * self.k))):
            some = self._some(part)
            counts = some._scan(low, begin, stop, most, most)
            left = counts.lt(0).nonzero()[:, 0]
            self.best[part] = some.best
            if len(left):
                few, first = some._some(left), self.offset + begin
                for block in low.block[begin:stop].split(self.block_rows(self.memory, low.depth)):
                    Search.add(few, block, first)
                    first += len(block)
                self.best[part[left]] = few.best
                self.repeated += few.repeated

    def _some(self, rows: Tensor) -> "FusedSearch":
        """Copy the search for some of the queries, with what they found so far."""
        some = copy.copy(self)
        some.queries, some.norms = self.queries[rows], self.norms[rows]
        some.best, some.floor = self.best[rows], self.floor[rows]
        some.repeated = 0
        place = torch.full((len(self.queries),), -1, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        row, ids = place[self.banned[0]], self.banned[1]
        some.banned = row[row >= 0], ids[row >= 0]
        some.banned_keys = ((some.banned[0] << 32) | some.banned[1]).sort().values
        return some


class _Low:
    """Rows for a product, padded with zeros and scaled by powers of two so that none overflows.

    Norms and losses are those of the scaled rows: squares of tiny or huge numbers would be zero or
    infinite in float32, and give no bound.

    Args:
        block: ``(n, d)`` float32.
        depth: Their width becomes a multiple of this.
        rows: Their number becomes a multiple of this.
        by_row: Give every row its own scale, norm and loss; otherwise all rows share a scale, and
            norm and loss are the largest.
    """

    def __init__(self, block: Tensor, depth: int, rows: int, *, by_row: bool) -> None:
        self.block = block
        self.depth = max(1, -(-block.shape[1] // depth)) * depth
        low, high = block.aminmax(dim=1) if by_row else block.aminmax()
        power = torch.frexp(torch.maximum(high, -low)).exponent.clamp(-100, 126)
        self.scale = torch.ldexp(torch.ones_like(high), -power)  # (n,) or ()
        size = -(-len(block) // rows) * rows
        self.rows = torch.zeros(size, self.depth, dtype=torch.float16, device=block.device)
        norms, lost = [], []
        piece = 1 << 12 if block.device.type == "cpu" else 1 << 16
        for start in range(0, len(block), piece):
            part = slice(start, min(start + piece, len(block)))
            scaled = block[part] * (self.scale[part, None] if by_row else self.scale)
            low = self.rows[part, : block.shape[1]]
            low.copy_(scaled)
            norms.append(scaled.norm(dim=1))
            lost.append(scaled.sub_(low).norm(dim=1))
        self.norms, self.lost = torch.cat(norms), torch.cat(lost)  # (n,)
        if not by_row:
            self.norms, self.lost = self.norms.max(), self.lost.max()  # ()


def _scales(queries: _Low, low: _Low) -> tuple[Tensor, Tensor]:
    """Return ``(h,)`` the smaller and the larger scale of a score.

    Multiplied by the smaller first, divided by the larger first, a score stays in float32's range.
    """
    return torch.minimum(queries.scale, low.scale), torch.maximum(queries.scale, low.scale)


def _kernel(device: torch.device) -> ModuleType:
    """Import the kernels.

    Raises:
        ModuleNotFoundError: If Triton is not installed.
        ValueError: If the device cannot run them.
    """
    try:
        from nsbench.benchmarks.search import kernel as _search_kernel
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "triton":
            raise
        raise ModuleNotFoundError(
            "triton is not installed: pip install triton (Linux), or choose the backend 'torch'"
        ) from None
    if device.type != "cuda" and not _search_kernel.INTERPRETED:
        raise ValueError(
            f"top_k: backend 'fused' needs a CUDA device and was given {device}: name one with "
            "devices (nsbench mine: --search-devices cuda). TRITON_INTERPRET=1 in the environment "
            "runs it on a CPU, slowly, for tests"
        )
    return _search_kernel
