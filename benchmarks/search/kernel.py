"""The fused search's kernels, in Triton: a matrix product that writes one bit per score.

`scan` multiplies in fp16 (sums in fp32), compares each score with its query's
bound in the product's epilogue, and writes 32 answers as one word: of a score matrix only 1/32 of
its size in fp32 ever reaches memory. `maxima` is the same product that keeps the largest score of
each group of columns, for a first bound. `count` and `collect` turn the words into pairs.

With ``TRITON_INTERPRET=1`` set before Triton is imported, all of it runs on a CPU, slowly.
"""

import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

WORD = 32
COLUMNS = 256  # a block has a multiple of these, and a step begins at one
DEPTH = 64  # dimensions are filled up to a multiple of these
GROUPS = (128, 64, 32, 16)  # sizes of a group of `maxima`
_BAND = 16  # tiles of queries that go over the columns together, so that these stay in the cache


@dataclass(frozen=True)
class Config:
    """Tile of a product, its warps, and the number of loads in flight."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


#: What may be fastest somewhere; the timing script tries them. The first is the default of large
#: shared memories (A100, H100), the last that of all others.
CONFIGS = (
    Config(128, 256, 64, 8, 3),
    Config(256, 128, 64, 8, 3),
    Config(128, 256, 64, 8, 4),
    Config(128, 128, 64, 4, 3),
    Config(128, 128, 64, 4, 4),
    Config(128, 128, 64, 8, 3),
    Config(64, 256, 64, 4, 4),
    Config(128, 128, 32, 8, 3),
)
_chosen: dict[torch.device, Config] = {}


def config_of(device: torch.device) -> Config:
    """The cut used on a device: what `choose` set, or a default by its shared memory."""
    if device in _chosen:
        return _chosen[device]
    if device.type != "cuda":
        return Config(128, 256, 64, 4, 1)
    large = torch.cuda.get_device_capability(device) in ((8, 0), (9, 0), (10, 0), (10, 3))
    return CONFIGS[0 if large else -1]


def choose(device: torch.device, config: Config) -> None:
    """Use this cut on a device from now on."""
    _chosen[device] = config


@triton.jit
def _scores(
    q,
    x,
    tiles_m,
    tiles_n,
    apart,
    SPREAD: tl.constexpr,
    D: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BAND: tl.constexpr,
):
    """One tile ``(BM, BN)`` of scores, and its place.

    Its columns are the rows ``n * BN + j`` of ``x``, or, ``SPREAD``, the rows
    ``(n + j * tiles_n) * apart``.
    """
    program = tl.program_id(0)
    first = program // (BAND * tiles_n) * BAND
    size = tl.minimum(tiles_m - first, BAND)
    m = first + (program % (BAND * tiles_n)) % size
    n = (program % (BAND * tiles_n)) // size
    inner = tl.arange(0, BK)
    columns = tl.arange(0, BN)
    if SPREAD:
        picked = (n + columns * tiles_n).to(tl.int64) * apart
        right = x + picked[None, :] * D + inner[:, None]
    else:
        base = x + n.to(tl.int64) * (BN * D)
        right = base + columns[None, :] * D + inner[:, None]
    left = q + m.to(tl.int64) * (BM * D) + tl.arange(0, BM)[:, None] * D + inner[None, :]
    scores = tl.zeros((BM, BN), tl.float32)
    for _ in range(0, D, BK):
        scores = tl.dot(tl.load(left), tl.load(right), scores)
        left += BK
        right += BK
    return scores, m, n


@triton.jit
def scan_kernel(
    q,
    x,
    bound,
    words,
    stride,
    tiles_m,
    tiles_n,
    D: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BAND: tl.constexpr,
):
    """Bits of ``score >= bound``, 32 columns a word, the lowest bit first."""
    scores, m, n = _scores(q, x, tiles_m, tiles_n, 1, False, D, BM, BN, BK, BAND)
    rows = tl.arange(0, BM)
    least = tl.load(bound + m * BM + rows)
    bit = 1 << (tl.arange(0, BN) % 32)
    bits = tl.where(scores >= least[:, None], bit[None, :], 0)
    packed = tl.sum(tl.reshape(bits, (BM, BN // 32, 32)), axis=2)
    out = words + m.to(tl.int64) * BM * stride + n * (BN // 32)
    tl.store(out + rows[:, None] * stride + tl.arange(0, BN // 32)[None, :], packed)


@triton.jit
def maxima_kernel(
    q,
    x,
    out,
    apart,
    tiles_m,
    tiles_n,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    BAND: tl.constexpr,
):
    """The largest score of every row in each group of columns."""
    scores, m, n = _scores(q, x, tiles_m, tiles_n, apart, True, D, BM, BN, BK, BAND)
    highest = tl.max(tl.reshape(scores, (BM, BN // GROUP, GROUP)), axis=2)
    rows = (m * BM + tl.arange(0, BM)).to(tl.int64)
    place = rows[:, None] * (tiles_n * (BN // GROUP)) + n * (BN // GROUP)
    tl.store(out + place + tl.arange(0, BN // GROUP)[None, :], highest)


@triton.jit
def _words(words, rows, height, stride, start, columns, BW: tl.constexpr):
    """``(BR, BW)`` words of some rows, those of columns that are not there empty."""
    place = start + tl.arange(0, BW)
    here = (rows < height)[:, None] & (place * 32 < columns)[None, :]
    found = tl.load(words + rows.to(tl.int64)[:, None] * stride + place[None, :], here, other=0)
    left = tl.minimum(columns - place * 32, 32)
    mask = tl.where(left >= 32, -1, (1 << (tl.maximum(left, 0) & 31)) - 1)
    return (found & mask[None, :]).to(tl.uint32, bitcast=True)


@triton.jit
def _ones(v):
    """Number of set bits in each 32-bit word."""
    v = v - ((v >> 1) & 0x55555555)
    v = (v & 0x33333333) + ((v >> 2) & 0x33333333)
    v = (v + (v >> 4)) & 0x0F0F0F0F
    v = v + (v >> 8)
    return ((v + (v >> 16)) & 0x3F).to(tl.int32)


@triton.jit
def count_kernel(words, counts, height, stride, columns, BR: tl.constexpr, BW: tl.constexpr):
    """Number of set bits in each row."""
    rows = tl.program_id(0) * BR + tl.arange(0, BR)
    found = tl.zeros((BR,), tl.int32)
    for start in range(0, tl.cdiv(columns, 32), BW):
        found += tl.sum(_ones(_words(words, rows, height, stride, start, columns, BW)), axis=1)
    tl.store(counts + rows, found, rows < height)


@triton.jit
def collect_kernel(
    words,
    starts,
    row_out,
    column_out,
    height,
    stride,
    columns,
    BR: tl.constexpr,
    BW: tl.constexpr,
):
    """Rows and columns of the set bits, each row's from its start on; none where that is -1."""
    rows = tl.program_id(0) * BR + tl.arange(0, BR)
    next_place = tl.load(starts + rows, rows < height, other=-1)
    wanted = next_place >= 0
    for start in range(0, tl.cdiv(columns, 32), BW):
        word = _words(words, rows, height, stride, start, columns, BW)
        here = _ones(word)
        place = next_place[:, None] + tl.cumsum(here, axis=1) - here
        next_place += tl.sum(here, axis=1)
        column = tl.zeros((BR, BW), tl.int32) + (start + tl.arange(0, BW))[None, :] * 32
        row = tl.zeros((BR, BW), tl.int64) + rows[:, None]
        for _ in range(0, tl.max(tl.max(here, axis=1), axis=0)):
            rest = word & (word - 1)  # all bits but the lowest
            found = (word != 0) & wanted[:, None]
            tl.store(row_out + place, row, found)
            tl.store(column_out + place, (column + _ones((word ^ rest) - 1)).to(tl.int64), found)
            word = rest
            place += 1


#: Whether ``TRITON_INTERPRET`` was set when the kernels were made.
INTERPRETED = not isinstance(scan_kernel, triton.JITFunction)
_turn: Any = threading.Lock() if INTERPRETED else nullcontext()  # it runs one kernel at a time
_ROWS, _WORDS = (64, 128) if INTERPRETED else (4, 512)  # of a program that reads words


def _settings(q: Tensor, config: Config) -> dict[str, int]:
    """Constants that a product is compiled for."""
    return {
        "D": q.shape[1],
        "BM": config.rows,
        "BN": config.columns,
        "BK": config.depth,
        "BAND": _BAND,
        "num_warps": config.warps,
        "num_stages": config.stages,
    }


def scan(q: Tensor, x: Tensor, bound: Tensor, words: Tensor, config: Config) -> None:
    """Write which scores reach their query's bound.

    Args:
        q: ``(H, D)`` fp16 queries, H a multiple of ``config.rows``, D of `DEPTH`.
        x: ``(W, D)`` rows fp16, W a multiple of `COLUMNS`.
        bound: ``(H,)`` float32.
        words: ``(H, W / 32)`` int32, written.
        config: Tile and launch settings.
    """
    tiles_m, tiles_n = len(q) // config.rows, len(x) // config.columns
    with _turn:
        scan_kernel[(tiles_m * tiles_n,)](
            q,
            x,
            bound,
            words,
            words.stride(0),
            tiles_m,
            tiles_n,
            **_settings(q, config),
        )


def maxima(q: Tensor, x: Tensor, group: int, tiles: int, apart: int, config: Config) -> Tensor:
    """``(H, G)`` largest scores of groups of rows of ``x``, which are spread over all of it.

    Args:
        q: ``(H, D)`` fp16, H a multiple of ``config.rows``, D of `DEPTH`.
        x: ``(>= tiles * config.columns * apart, D)`` fp16.
        group: Rows of a group, one of `GROUPS`.
        tiles: Tiles of columns; each holds ``config.columns // group`` groups.
        apart: Distance between the rows of ``x`` that are used, >= 1.
        config: Tile and launch settings.
    """
    out = torch.empty(len(q), tiles * config.columns // group, device=q.device)
    tiles_m = len(q) // config.rows
    with _turn:
        maxima_kernel[(tiles_m * tiles,)](
            q,
            x,
            out,
            apart,
            tiles_m,
            tiles,
            GROUP=group,
            **_settings(q, config),
        )
    return out


def count(words: Tensor, columns: int) -> Tensor:
    """``(h,)`` int32 set bits of each row of ``(h, w)`` words, in its first ``columns``."""
    height, stride = len(words), words.stride(0)
    out = torch.empty(height, dtype=torch.int32, device=words.device)
    grid = (triton.cdiv(height, _ROWS),)
    with _turn:
        count_kernel[grid](words, out, height, stride, columns, BR=_ROWS, BW=_WORDS)
    return out


def collect(words: Tensor, columns: int, starts: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the set bits.

    Args:
        words: ``(h, w)`` int32.
        columns: Number of columns.
        starts: ``(h,)`` int32 place of each row's first pair; -1 for rows to leave out.
        room: Places.

    Returns:
        ``(room,)`` int64 rows and columns; 0 in places that no row has.
    """
    height, stride = len(words), words.stride(0)
    row, column = torch.zeros(2, room, dtype=torch.int64, device=words.device).unbind()
    grid = (triton.cdiv(height, _ROWS),)
    with _turn:
        collect_kernel[grid](
            words, starts, row, column, height, stride, columns, BR=_ROWS, BW=_WORDS
        )
    return row, column
