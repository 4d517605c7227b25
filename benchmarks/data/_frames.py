"""Frames, the meanings behind planted sentences: coding, graded similarity and drawing at rates.

Many frames are held as an ``(n, 9)`` integer array whose columns are `SLOTS`.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.data._lexicon import lexicon
from nsbench.benchmarks.data._types import Ints

SLOTS = ("topic", "agent", "action", "object", "place", "time", "number", "manner", "negative")
# What each shared slot adds to the graded similarity of two frames; they add up to 5.
WEIGHTS = {
    "topic": 0.8,
    "action": 1.2,
    "object": 0.9,
    "agent": 0.8,
    "place": 0.4,
    "time": 0.35,
    "manner": 0.3,
    "number": 0.25,
}
FLIP = 0.5  # factor on the similarity of two frames that differ in polarity
NEGATIVE_SHARE = 0.25  # share of frames that say that something did not happen
PARTS = {"test": (0,), "dev": (1,), "train": (2, 3, 4, 5, 6, 7, 8, 9)}  # tenths of all frames
_ROUNDS = 200
_FAMILY = 4  # meanings in a family of near misses, where the slot has as many values


@dataclass(frozen=True, order=True)
class Frame:
    """The meaning of a planted text: action, object, number, place, time, manner, polarity.

    Every field is the number of a concept in ``lexicon.toml``: agent, action, object and place
    within the topic (low agents and places are shared by all topics), the others for all topics.
    The topic is not a slot: action and object decide it.
    """

    topic: int
    agent: int
    action: int
    object: int
    place: int
    time: int
    number: int
    manner: int
    negative: bool

    def __post_init__(self) -> None:
        for slot, value, size in zip(SLOTS, astuple(self), sizes(), strict=True):
            if not 0 <= value < size:
                raise ValueError(f"Frame: {slot} must be in [0, {size - 1}], got {value}")

    @property
    def code(self) -> int:
        """One number for the whole frame."""
        return int(codes(np.array([astuple(self)], dtype=np.int64))[0])

    def words(self) -> dict[str, str]:
        """The first surface form of every slot, for reading."""
        words = lexicon()
        topic = words.topics[self.topic]
        return {
            "topic": topic.name,
            "agent": topic.agents[self.agent][0].singular,
            "action": topic.actions[self.action][0].base,
            "object": topic.objects[self.object][0].singular,
            "place": topic.places[self.place][0],
            "time": words.times[self.time].forms[0],
            "number": words.numbers[self.number].forms[0],
            "manner": words.manners[self.manner][0].adverb,
            "polarity": "negative" if self.negative else "affirmative",
        }


def frame(row: Sequence[int] | Ints) -> Frame:
    """One row of a frame array as a `Frame`."""
    topic, agent, action, thing, place, time, number, manner, negative = (int(v) for v in row)
    return Frame(topic, agent, action, thing, place, time, number, manner, bool(negative))


def sizes() -> tuple[int, ...]:
    """Number of values of every slot, in the order of `SLOTS`."""
    words = lexicon()
    first = words.topics[0]
    return (
        len(words.topics),
        len(first.agents),
        len(first.actions),
        len(first.objects),
        len(first.places),
        len(words.times),
        len(words.numbers),
        len(words.manners),
        2,
    )


def strides() -> Ints:
    """``(9,)`` weight of every slot in the code of a frame."""
    return np.cumprod((1, *sizes()[:-1]), dtype=np.int64)


def codes(frames: Ints) -> Ints:
    """``(n,)`` one number a frame; equal codes are equal frames."""
    return frames @ strides()


def in_part(frames: Ints, part: str) -> NDArray[np.bool_]:
    """``(n,)`` whether each frame belongs to a part: a fixed hash of its code decides."""
    mixed = codes(frames).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.isin((mixed >> np.uint64(40)) % np.uint64(10), PARTS[part])


def draw(n: int, rng: np.random.Generator) -> Ints:
    """``(n, 9)`` independent frames; `NEGATIVE_SHARE` of them negative, all else uniform."""
    out = rng.integers(0, sizes(), size=(n, 9))
    out[:, 8] = rng.random(n) < NEGATIVE_SHARE
    return out


def similarities(f: Ints, g: Ints) -> NDArray[np.float64]:
    """``(n,)`` graded similarity of the rows of two frame arrays, in [0, 5]."""
    words = lexicon()
    same = f == g  # (n, 9)
    topic = same[:, 0]
    same[:, 1] &= topic | (f[:, 1] < words.shared_agents)
    same[:, 2] &= topic
    same[:, 3] &= topic
    same[:, 4] &= topic | (f[:, 4] < words.shared_places)
    weights = np.array([WEIGHTS.get(slot, 0.0) for slot in SLOTS])
    total = same @ weights * np.where(same[:, 8], 1.0, FLIP)
    return np.asarray(np.round(total, 4), dtype=np.float64)


def graded_similarity(f: Frame, g: Frame) -> float:
    """Similarity of two frames, in [0, 5]: 5 if and only if they are equal.

    The sum of `WEIGHTS` over the slots they share, times `FLIP` if one is negative and the other
    is not. Agents, actions, objects and places of different topics are different concepts, but
    for the agents and places that all topics share.
    """
    one, other = (np.array([astuple(x)], dtype=np.int64) for x in (f, g))
    return float(similarities(one, other)[0])


def group_sizes(rows: int, rate: float) -> list[int]:
    """Number of rows for each meaning so that two random rows share one at ``rate``.

    With meanings of n_m rows, of all ordered pairs of different rows ``sum n_m (n_m - 1)`` share
    a meaning; the sizes make that ``rate * rows * (rows - 1)`` to within 2, or less by up to
    ``2 * rows`` where few rows (under 1,000) must meet a high rate (over 0.25). At most about four
    fifths of the rows share their meaning with another wherever the rate allows it; every other
    row has its own meaning.
    """
    wanted = rate * rows * (rows - 1)
    largest = min(rows, math.ceil(1 + wanted / (0.8 * rows)))
    out: list[int] = []
    while wanted - sum(n * (n - 1) for n in out) >= 2:
        left = wanted - sum(n * (n - 1) for n in out)
        out.append(min(largest, rows - sum(out), int((1 + math.sqrt(1 + 4 * left)) / 2)))
        if out[-1] < 2:
            out.pop()
            break
    return out + [1] * (rows - sum(out))


@dataclass(frozen=True)
class _Plan:
    """Meanings that are near misses of each other, before any frame is drawn."""

    unit: Ints  # (G,) family or lone meaning
    rank: Ints  # (G,) 0 for the base of a unit
    slot: Ints  # (G,) the slot in which a family varies


def _plan(group: Sequence[int], rate: float, rng: np.random.Generator) -> _Plan:
    """Put meanings that hold ``rate`` of the rows into families, the others on their own."""
    counts = np.array(group, dtype=np.int64)
    left = round(rate * int(counts.sum()))
    chosen = []
    for meaning in rng.permutation(len(counts)).tolist():
        if counts[meaning] <= left:
            chosen.append(meaning)
            left -= int(counts[meaning])
    if len(chosen) == 1:
        chosen = []
    unit, rank = np.arange(len(counts), dtype=np.int64), np.zeros(len(counts), dtype=np.int64)
    slot = np.zeros(len(counts), dtype=np.int64)
    wide = [s for s in range(1, 9) if sizes()[s] > _FAMILY]
    start = 0
    while start < len(chosen):
        rest = len(chosen) - start
        s = int(rng.integers(1, 9))
        size = min(_FAMILY, sizes()[s], rest)
        if rest - size == 1:  # a family of one would be none
            s, size = int(rng.choice(wide)), size + 1
        family = chosen[start : start + size]
        unit[family], rank[family], slot[family] = family[0], range(size), s
        start += size
    return _Plan(unit, rank, slot)


def place(group: Sequence[int], near_miss_rate: float, rng: np.random.Generator) -> Ints:
    """``(G, 9)`` different training frames, one a meaning.

    Meanings of a family differ in one slot, all others in two or more: the frames are drawn
    again where chance alone made a near miss.

    Raises:
        ValueError: If so many meanings have no room without near misses by chance.
    """
    plan = _plan(group, near_miss_rate, rng)
    count = len(group)
    out = np.zeros((count, 9), dtype=np.int64)
    bad = np.ones(count, dtype=np.bool_)
    size = np.array(sizes(), dtype=np.int64)
    for _ in range(_ROUNDS):
        base = draw(count, rng)[plan.unit]  # (G, 9)
        step = rng.random((count, int(size.max()) - 1))  # (G, k - 1) a random order of the shifts
        step[np.arange(size.max() - 1) >= (size[plan.slot] - 1)[:, None]] = 2.0
        shifts = np.argsort(step, axis=1)[plan.unit] + 1  # (G, k - 1)
        chosen = shifts[np.arange(count), np.maximum(plan.rank - 1, 0)]
        moved = np.where(plan.rank > 0, chosen, 0)
        column = base[np.arange(count), plan.slot]
        base[np.arange(count), plan.slot] = (column + moved) % size[plan.slot]
        out[bad] = base[bad]
        bad_unit = np.zeros(count, dtype=np.bool_)
        bad_unit[plan.unit[~in_part(out, "train") | _touching(out, plan.unit)]] = True
        bad = bad_unit[plan.unit]
        if not bad.any():
            return out
    raise ValueError(
        f"planted: there is no room for {count} meanings without near misses by chance; "
        "use fewer rows"
    )


def _touching(frames: Ints, unit: Ints) -> NDArray[np.bool_]:
    """``(G,)`` frames that equal, or are one slot from, a frame of an earlier unit."""
    out = np.zeros(len(frames), dtype=np.bool_)
    whole = codes(frames)
    for slot in range(1, 9):
        key = whole - frames[:, slot] * strides()[slot]
        order = np.lexsort((unit, key))
        clash = (np.diff(key[order]) == 0) & (np.diff(unit[order]) != 0)
        out[order[1:][clash]] = True
    return out


def one_slot_changed(frames: Ints, rng: np.random.Generator) -> Ints:
    """``(n, 9)`` a random near miss of every frame."""
    out = frames.copy()
    slot = rng.integers(1, 9, size=len(frames))
    size = np.array(sizes(), dtype=np.int64)[slot]
    at = np.arange(len(frames))
    out[at, slot] = (out[at, slot] + rng.integers(1, size)) % size
    return out
