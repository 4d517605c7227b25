"""English sentences planted from known frames: similarity and false negatives are exact.

Source: our own generator; the words are in ``lexicon.toml``, the templates in ``_grammar.py``,
the frames and their graded similarity in ``_frames.py``.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated

import numpy as np

from nsbench.benchmarks.data import register
from nsbench.benchmarks.data._frames import (
    Frame,
    codes,
    draw,
    graded_similarity,
    group_sizes,
    in_part,
    one_slot_changed,
    place,
    similarities,
)
from nsbench.benchmarks.data._grammar import DRAWS, render
from nsbench.benchmarks.data._lexicon import lexicon
from nsbench.benchmarks.data._types import DataSet, Ints, LabelledTexts, Pairs, TrainingData
from nsbench.samplers import Choice, Interval

__all__ = ["Frame", "Planted", "graded_similarity"]

MAX_ROWS = 200_000
_TEST_SEED = 20_240_607  # of the evaluation sets, which are the same for every training seed
_TEST_PAIRS, _DEV_PAIRS, _BINS = 1000, 500, 10
_TOPIC_TRAIN, _TOPIC_TEST = 8, 100  # sentences a topic
_ROUNDS = 100


@register("planted")
class Planted(DataSet):
    """Rows of planted sentences, with everything about them known.

    A frame says who did what to how many of what, where, when and how, or did not; a text is one
    of its many wordings, and texts share a meaning id if and only if they word one frame. Frames
    of the evaluation sets never occur in training. Two frames are near misses if they differ in
    exactly one slot; only those that `near_miss_rate` asks for occur among the rows.

    Args:
        rows: Training rows, in [2, 200000].
        false_negative_rate: Chance that two different rows with different texts, drawn uniformly,
            have one meaning, in [0, 0.9]: what a uniform sampler of in-batch candidates picks up as
            false negatives. It is met to within two pairs without duplicates, for rates over 0.25
            from 1,000 rows on; with duplicates, on average. The false negatives come in a few
            equally large meanings, which hold at most about four fifths of the rows where the rate
            allows; an anchor outside them has none.
        near_miss_rate: Share of rows whose meaning is a near miss of another row's, in [0, 1],
            met to within the rows of one meaning. Such meanings come in families of about four
            that differ in one slot.
        views: "pairs" for two wordings of one frame as anchor and positive, "text" for one text
            as both (unsupervised).
        duplicate_rate: Share of rows that repeat another row's texts letter by letter,
            in [0, 0.9]. Without it no text occurs twice.
        negatives: Given hard negatives a row, each a wording of a near miss of the row's frame,
            in [0, 16]. They are not among the rows that the two rates speak of.
        seed: Seed of the generator, >= 0; the evaluation sets do not depend on it.
    """

    rows: Annotated[int, Interval(f"[2, {MAX_ROWS}]")] = 10_000
    false_negative_rate: Annotated[float, Interval("[0, 0.9]")] = 0.05
    near_miss_rate: Annotated[float, Interval("[0, 1]")] = 0.1
    views: Annotated[str, Choice("pairs", "text")] = "pairs"
    duplicate_rate: Annotated[float, Interval("[0, 0.9]")] = 0.0
    negatives: Annotated[int, Interval("[0, 16]")] = 0
    seed: Annotated[int, Interval("[0, inf)")] = 0

    def check(self) -> None:
        """Nothing can be missing: the generator ships with the package."""

    def __call__(self) -> TrainingData:
        """Make the rows."""
        return self._made[0]

    @property
    def frames(self) -> Ints:
        """``(M, 9)`` the frame of every meaning id; ``similarities`` grades any two rows of it."""
        return self._made[1]

    @cached_property
    def _made(self) -> tuple[TrainingData, Ints]:
        plan, wording, copying, mining = np.random.default_rng(self.seed).spawn(4)
        fresh = self.rows - min(self.rows - 2, round(self.duplicate_rate * self.rows))
        group = group_sizes(fresh, self.false_negative_rate)
        frames = place(group, self.near_miss_rate, plan)
        of_row = plan.permutation(np.repeat(np.arange(len(group)), group))  # (fresh,)
        given, frames = _near_misses(frames, of_row, self.negatives, mining)  # (fresh, K)
        views = 2 if self.views == "pairs" else 1
        meaning = np.concatenate([np.repeat(of_row, views), given.reshape(-1)])
        texts = wordings(frames[meaning], wording)
        first = np.arange(fresh) * views
        rows = np.column_stack([first, first + views - 1, *_columns(given, fresh * views)])
        rows, texts, meaning = _with_copies(rows, texts, meaning, self.rows, copying)
        data = TrainingData(
            name="planted",
            texts=tuple(texts),
            anchor=rows[:, 0],
            positive=rows[:, 1],
            negatives=rows[:, 2:],
            meaning=meaning,
        )
        return replace(data, revision=f"sha256:{data.digest}"), frames

    def tests(self) -> list[Pairs | LabelledTexts]:
        """``planted-sts``, graded pairs, and ``planted-topics``, classes of twelve topics."""
        return [graded_pairs("planted-sts", "test", _TEST_PAIRS), topics()]

    def dev(self) -> Pairs:
        """``planted-sts-dev``: graded pairs on separate frames."""
        return graded_pairs("planted-sts-dev", "dev", _DEV_PAIRS)


def wordings(frames: Ints, rng: np.random.Generator) -> list[str]:
    """One wording of every frame, no two alike.

    Raises:
        ValueError: If a frame is asked for more wordings than it readily has.
    """
    words = lexicon()
    out: list[str] = [""] * len(frames)
    seen: set[str] = set()
    todo = list(range(len(frames)))
    for _ in range(_ROUNDS):
        draws = rng.integers(0, 1 << 30, size=(len(todo), DRAWS)).tolist()
        again = []
        for at, slots, lot in zip(todo, frames[todo].tolist(), draws, strict=True):
            text = render(slots, lot, words)
            if text in seen:
                again.append(at)
            seen.add(text)
            out[at] = text
        if not again:
            return out
        todo = again
    raise ValueError(
        f"planted: {len(todo)} texts find no wording that is not taken; "
        "use fewer rows or a lower false_negative_rate"
    )


def graded_pairs(name: str, part: str, n: int) -> Pairs:
    """``n`` pairs of sentences whose graded similarities spread evenly over [0, 5].

    Frames of a pair share a random subset of their slots; of many such pairs, equally many are
    kept in each of ten bins. Both frames belong to the part, which training never uses.
    """
    rng = np.random.default_rng((_TEST_SEED, n))
    f = draw(n * 200, rng)
    g = draw(n * 200, rng)
    shared = rng.random((len(f), 9)) < rng.random((len(f), 1)) * 1.2  # all shared at times
    other = ~shared[:, 0] & (rng.random(len(f)) < 0.5)  # another topic; else slots in one topic
    shared[:, 0] = ~other
    shared[other, 1:5] = False
    g = np.where(shared, f, g)
    usable = np.flatnonzero(in_part(f, part) & in_part(g, part))
    f, g = f[usable], g[usable]
    score = similarities(f, g)
    bin_of = np.minimum(score * _BINS / 5, _BINS - 1).astype(np.int64)
    kept = np.concatenate([np.flatnonzero(bin_of == b)[: n // _BINS] for b in range(_BINS)])
    kept = rng.permutation(kept)
    texts = wordings(np.concatenate([f[kept], g[kept]]), rng)
    half = len(kept)
    return Pairs(name, tuple(texts[:half]), tuple(texts[half:]), tuple(score[kept].tolist()))


def topics() -> LabelledTexts:
    """Name the topic of a sentence; few sentences to learn from, new frames to be tested on."""
    rng = np.random.default_rng((_TEST_SEED, 1))
    frames = draw(100_000, rng)
    frames = frames[in_part(frames, "test")]
    count = len(lexicon().topics)
    by_topic = [frames[frames[:, 0] == t][: _TOPIC_TRAIN + _TOPIC_TEST] for t in range(count)]
    chosen = np.stack(by_topic)  # (topics, sentences, 9)
    texts = np.array(wordings(chosen.reshape(-1, 9), rng), dtype=object).reshape(count, -1)
    labels = np.broadcast_to(np.arange(count)[:, None], texts.shape)
    train, test = (slice(None), slice(_TOPIC_TRAIN)), (slice(None), slice(_TOPIC_TRAIN, None))
    return LabelledTexts(
        "planted-topics",
        tuple(texts[train].reshape(-1)),
        tuple(labels[train].reshape(-1).tolist()),
        tuple(texts[test].reshape(-1)),
        tuple(labels[test].reshape(-1).tolist()),
        {t: topic.name for t, topic in enumerate(lexicon().topics)},
    )


def _near_misses(frames: Ints, of_row: Ints, k: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """``(rows, k)`` meaning ids of near misses of every row, and the frames with new ones."""
    base = np.repeat(frames[of_row], k, axis=0)  # (rows * k, 9)
    missed = one_slot_changed(base, rng)
    while not (good := in_part(missed, "train")).all():
        missed[~good] = one_slot_changed(base[~good], rng)
    known = {code: m for m, code in enumerate(codes(frames).tolist())}
    fresh: list[Sequence[int]] = []
    ids = []
    for code, slots in zip(codes(missed).tolist(), missed.tolist(), strict=True):
        if code not in known:
            known[code] = len(known)
            fresh.append(slots)
        ids.append(known[code])
    added = np.array(fresh, dtype=np.int64).reshape(-1, 9)
    return np.array(ids, dtype=np.int64).reshape(len(of_row), k), np.concatenate([frames, added])


def _columns(given: Ints, start: int) -> list[Ints]:
    """The columns of the text numbers that the given negatives get, from ``start`` on."""
    return list((start + np.arange(given.size)).reshape(given.shape).T)


def _with_copies(
    rows: Ints, texts: list[str], meaning: Ints, wanted: int, rng: np.random.Generator
) -> tuple[Ints, list[str], Ints]:
    """Fill up to ``wanted`` rows with copies of random rows, texts and all, and shuffle."""
    extra = wanted - len(rows)
    if not extra:
        return rows, texts, meaning
    copied = rows[rng.integers(0, len(rows), size=extra)]  # (extra, 2 + K)
    shared = copied[:, 0] == copied[:, 1]
    start = len(texts)
    old = copied.reshape(-1)
    numbers = (start + np.arange(old.size)).reshape(copied.shape)
    numbers[shared, 1] = numbers[shared, 0]
    used, compact = np.unique(numbers, return_inverse=True)
    source = old[used - start]
    rows = np.concatenate([rows, start + compact.reshape(copied.shape)])
    texts = texts + [texts[i] for i in source.tolist()]
    return rng.permutation(rows), texts, np.concatenate([meaning, meaning[source]])
