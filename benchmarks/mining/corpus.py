"""Mining on the host: for every training row, texts of the corpus that resemble its anchor.

Source: Xiong et al. 2021, ANCE (top of the current model's ranking); Karpukhin et al. 2020, DPR
(BM25); Moreira et al. 2024, NV-Retriever (margins to the positive).
https://arxiv.org/abs/2007.00808 https://arxiv.org/abs/2004.04906
https://arxiv.org/abs/2407.15831 The ranking is over texts that differ after normalisation, and
relative margins are taken of the positive score's magnitude, so that its sign does not matter.

A candidate is never the anchor, its positive, another known positive or a text equal to one.
Every candidate that is not kept has a reason, and a policy decides about rows that find too few.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.mining.settings import AMONG, SHORTAGE, Window
from nsbench.benchmarks.mining.sources import Floats, Ints, Source
from nsbench.samplers import one_of

REASONS = (
    "kept",
    "nothing",  # an empty place of the ranking: the corpus is used up, or has no score
    "same_text",  # equal to the anchor or its positive after normalisation
    "known_positive",  # a known positive of the anchor, or equal to one
    "before_window",  # ranked above `start`
    "too_similar",  # score above `max_score`
    "too_near_positive",  # score above what `margin` or `relative_margin` allow
    "too_dissimilar",  # score below `min_score`
    "surplus",  # the row had its `depth` already
    "row_dropped",  # would have been kept, but the policy `drop` took the row's candidates away
)
"""Reasons for not keeping a candidate of the ranking, by code."""
MOST_COUNTED = 100
"""Known positives of an anchor that widen the ranking of all anchors. An anchor with more is ranked
separately, and its known positives are passed over at once."""
_ENTRIES = 1 << 22  # of the ranking of such anchors at a time
_CODE = {name: code for code, name in enumerate(REASONS)}


class ShortageError(ValueError):
    """A row found fewer candidates than it needs, and the policy is ``error``."""


@dataclass(frozen=True, eq=False)
class Mined:
    """Candidates found for R rows.

    Attributes:
        ids: ``(R, M)`` int64 text of each candidate, best first; -1 in empty places.
        scores: ``(R, M)`` float32 score by the source; NaN in empty places.
        ranks: ``(R, M)`` int64 place in the row's ranking of all that may be a negative, from 0;
            -1 for empty places and for random padding.
        codes: ``(R, W)`` int8 index into `REASONS`, for each of the W candidates examined.
        dropped: ``(R,)`` bool, True where the policy ``drop`` took the row's candidates away.
        source: Name of the source of the scores.
        shortage: The policy.
        short_rows: Rows that found fewer than they need.
        padded: Places filled at random.
        passed: Known positives that were passed over without a code.
    """

    ids: Ints
    scores: Floats
    ranks: Ints
    codes: NDArray[np.int8]
    dropped: NDArray[np.bool_]
    source: str
    shortage: str
    short_rows: int
    padded: int
    passed: int = 0
    rejected: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        counts = np.bincount(self.codes.ravel(), minlength=len(REASONS)).tolist()
        counts[_CODE["known_positive"]] += self.passed
        object.__setattr__(self, "rejected", dict(zip(REASONS, counts, strict=True)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything as arrays, for a cache."""
        counts = np.array([self.short_rows, self.padded, self.passed], np.int64)
        source = np.frombuffer(self.source.encode(), np.uint8)
        names = ("ids", "scores", "ranks", "codes", "dropped")
        return {n: getattr(self, n) for n in names} | {"counts": counts, "source": source}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], shortage: str) -> "Mined":
        """Rebuild from `arrays`, found under a policy."""
        more: dict[str, Any] = dict(arrays)
        source = more.pop("source").tobytes().decode()
        names = ("short_rows", "padded", "passed")  # older caches lack the third
        counts = dict(zip(names, more.pop("counts").tolist(), strict=False))
        return cls(**more, **counts, source=source, shortage=shortage)


class Corpus:
    """The distinct texts of training data, and what may not be mined for each anchor.

    Texts that are equal after normalisation are one entry, represented by the first.

    Args:
        data: The training data.
        among: Which texts are candidates: ``documents``, all but those that are anchors only
            (queries, where there are queries); or ``all``.
        documents: ``(D,)`` texts that are candidates in any case, even where they are anchors.

    Raises:
        ValueError: If there is no text or no row.
    """

    def __init__(
        self, data: TrainingData, among: str = "documents", documents: Ints | None = None
    ) -> None:
        one_of("mining", "among", among, AMONG)
        if not data.texts or not data.rows:
            raise ValueError(f"mining: the corpus of {data.name} is empty")
        group = data.group
        self.size = int(group.max()) + 1
        self.text = np.full(self.size, -1, np.int64)  # (G,) first text of each group
        self.text[group[::-1]] = np.arange(len(group))[::-1]
        self.anchor, self.positive = group[data.anchor], group[data.positive]  # (R,)
        self.candidates = np.arange(self.size)  # (C,) distinct texts that may be mined
        if among == "documents":
            shown = [group[data.negatives[data.negatives >= 0]], group[data.known[:, 1]]]
            queries = np.setdiff1d(self.anchor, np.concatenate(shown))
            if documents is not None:
                queries = np.setdiff1d(queries, group[documents])
            self.candidates = np.setdiff1d(self.candidates, queries)
        self.queries, self.query = np.unique(self.anchor, return_inverse=True)  # (A,), (R,)
        a, b = group[data.known].T
        keys = np.concatenate([a * self.size + b, b * self.size + a])
        self.known = np.unique(keys[keys // self.size != keys % self.size])
        each = np.searchsorted(self.known, self.queries * self.size)
        stop = np.searchsorted(self.known, (self.queries + 1) * self.size)
        self.known_of = stop - each  # (A,) known positives of each query
        self.most_known = min(int(self.known_of.max(initial=0)), MOST_COUNTED)

    def only(self, rows: Ints) -> "Corpus":
        """The same corpus with some of its rows, ``(n,)`` ascending."""
        other = copy.copy(self)
        other.anchor, other.positive = self.anchor[rows], self.positive[rows]
        other.queries, other.query = np.unique(other.anchor, return_inverse=True)
        return other

    def is_known(self, left: Ints, right: Ints) -> NDArray[np.bool_]:
        """Return whether two distinct texts are a known positive pair."""
        keys = left * self.size + right
        if not len(self.known):
            return np.zeros(keys.shape, np.bool_)
        place = np.searchsorted(self.known, keys).clip(max=len(self.known) - 1)
        found: NDArray[np.bool_] = self.known[place] == keys
        return found


def mine(
    corpus: Corpus,
    source: Source,
    window: Window,
    *,
    shortage: str,
    rng: np.random.Generator,
    positive_score: Floats | None = None,
) -> Mined:
    """Find the candidates of every row in a window of its anchor's ranking.

    Args:
        corpus: The distinct texts.
        source: Scores between them.
        window: Wanted places of the ranking.
        shortage: Policy for a row that finds fewer than ``window.need``: ``drop`` all of
            its candidates, keep the ``fewer`` there are, ``pad_random`` with texts that may be
            negatives, or ``error``.
        rng: Draws the padding.
        positive_score: ``(R,)`` what margins are measured from; default: `positive_scores`.

    Raises:
        ShortageError: By the policy ``error``.
        ValueError: If the policy is unknown or a score is NaN.
    """
    one_of("mining", "shortage", shortage, SHORTAGE)
    scores, ids, passed = _ranked(corpus, source, window.stop)
    fetch = ids.shape[1]
    if np.isnan(scores).any():
        raise ValueError(f"mining: the source {source.name} gave scores that are NaN")
    given = positive_score
    s_pos = positive_scores(corpus, source, window.against) if given is None else given
    depth, rows = window.depth, len(corpus.anchor)
    out_ids = np.full((rows, depth), -1, np.int64)
    out_scores = np.full((rows, depth), np.nan, np.float32)
    out_ranks = np.full((rows, depth), -1, np.int64)
    codes = np.empty((rows, fetch), np.int8)
    for low in range(0, rows, 1 << 14):
        part = slice(low, low + (1 << 14))
        mine, score = ids[corpus.query[part]], scores[corpus.query[part]]
        codes[part], place = _judged(corpus, window, mine, score, part, s_pos[part][:, None])
        row, column = (codes[part] == _CODE["kept"]).nonzero()
        slot = (codes[part] == _CODE["kept"]).cumsum(axis=1)[row, column] - 1
        out_ids[low + row, slot] = mine[row, column]
        out_scores[low + row, slot] = score[row, column]
        out_ranks[low + row, slot] = place[row, column]
    need = window.need or depth
    short = out_ids[:, need - 1] < 0
    dropped, padded = np.zeros(rows, np.bool_), 0
    if short.any() and shortage == "error":
        first = int(short.argmax())
        raise ShortageError(
            f"mining: {int(short.sum())} of {rows} rows found fewer than {need} candidates in "
            f"places {window.start} to {window.stop} of {source.name}; the first is row {first} "
            f"with {int((out_ids[first] >= 0).sum())}. Widen the window, or choose the shortage "
            "policy drop, fewer or pad_random"
        )
    if shortage == "drop":
        dropped = short
        codes[short[:, None] & (codes == _CODE["kept"])] = _CODE["row_dropped"]
        out_ids[short], out_scores[short], out_ranks[short] = -1, np.nan, -1
    elif shortage == "pad_random":
        padded = pad(corpus, source, out_ids[:, :need], out_scores, short.nonzero()[0], rng)
    return Mined(
        ids=np.where(out_ids >= 0, corpus.text[out_ids], -1),
        scores=out_scores,
        ranks=out_ranks,
        codes=codes,
        dropped=dropped,
        source=source.name,
        shortage=shortage,
        short_rows=int(short.sum()),
        padded=padded,
        passed=int(passed[corpus.query].sum()),
    )


def _ranked(corpus: Corpus, source: Source, stop: int) -> tuple[Floats, Ints, Ints]:
    """The ranking of every query, wide enough for ``stop`` places that may be negatives.

    Returns:
        ``(A, W)`` scores and texts, best first, -inf and -1 in empty places; ``(A,)`` the known
        positives that were taken out of the rankings of queries with more than `MOST_COUNTED`.
    """
    width = min(len(corpus.candidates), stop + corpus.most_known + 1)
    many = corpus.known_of > MOST_COUNTED
    passed = np.zeros(len(corpus.queries), np.int64)
    if not many.any():
        return *source.rank(corpus.queries, width), passed
    scores = np.full((len(corpus.queries), width), -np.inf, np.float32)
    ids = np.full((len(corpus.queries), width), -1, np.int64)
    if not many.all():
        scores[~many], ids[~many] = source.rank(corpus.queries[~many], width)
    order = np.flatnonzero(many)
    order = order[np.argsort(corpus.known_of[order], kind="stable")]
    while len(order):  # those with about as many known positives together
        fetch = min(len(corpus.candidates), stop + 2 * int(corpus.known_of[order[0]]) + 1)
        alike = 2 * corpus.known_of[order[0]] >= corpus.known_of[order]
        some = order[alike][: max(1, _ENTRIES // fetch)]
        found, text = source.rank(corpus.queries[some], fetch)
        query = np.broadcast_to(corpus.queries[some][:, None], text.shape)
        known = corpus.is_known(query, text) & (text >= 0)
        first = np.argsort(known, axis=1, kind="stable")[:, :width]  # the others, in their order
        kept = ~np.take_along_axis(known, first, axis=1)
        scores[some] = np.where(kept, np.take_along_axis(found, first, axis=1), -np.inf)
        ids[some] = np.where(kept, np.take_along_axis(text, first, axis=1), -1)
        passed[some] = known.sum(axis=1)
        order = order[len(some) :]
    return scores, ids, passed


def positive_scores(corpus: Corpus, source: Source, against: str = "own") -> Floats:
    """``(R,)`` score of each row's positive, or the lowest of all positives of its anchor."""
    own = source.pairs(corpus.anchor, corpus.positive)
    if against == "own":
        return own
    lowest = np.full(len(corpus.queries), np.inf, np.float32)
    np.minimum.at(lowest, corpus.query, own)
    found: Floats = lowest[corpus.query]
    return found


def _judged(
    corpus: Corpus, window: Window, ids: Ints, scores: Floats, part: slice, s_pos: Floats
) -> tuple[NDArray[np.int8], Ints]:
    """``(n, W)`` codes of some rows' candidates, and their places among what may be a negative."""
    anchor, positive = corpus.anchor[part][:, None], corpus.positive[part][:, None]
    nothing = ids < 0
    same = ~nothing & ((ids == anchor) | (ids == positive))
    known = ~nothing & ~same & corpus.is_known(np.broadcast_to(anchor, ids.shape), ids)
    codes = np.zeros(ids.shape, np.int8)
    place = (~(nothing | same | known)).cumsum(axis=1) - 1

    def reject(reason: str, where: NDArray[np.bool_]) -> None:
        codes[(codes == 0) & where] = _CODE[reason]

    reject("nothing", nothing)
    reject("same_text", same)
    reject("known_positive", known)
    reject("before_window", place < window.start)
    if window.max_score is not None:
        reject("too_similar", scores > window.max_score)
    if window.margin is not None:
        reject("too_near_positive", scores > s_pos - window.margin)
    if window.relative_margin is not None:
        reject("too_near_positive", scores > s_pos - np.abs(s_pos) * window.relative_margin)
    if window.min_score is not None:
        reject("too_dissimilar", scores < window.min_score)
    reject("surplus", place >= window.stop)
    reject("surplus", (codes == 0).cumsum(axis=1) > window.depth)
    return codes, place


def pad(
    corpus: Corpus,
    source: Source,
    ids: Ints,
    scores: Floats,
    rows: Ints,
    rng: np.random.Generator,
) -> int:
    """Fill the empty places of some rows, in place, with random texts that may be their negatives.

    Args:
        corpus: The distinct texts.
        source: Scores the padding.
        ids: ``(R, M)`` distinct texts, -1 where empty.
        scores: ``(R, M)`` or wider.
        rows: ``(n,)`` rows to fill.
        rng: Draws the padding.

    Returns:
        Number of places filled; fewer than were empty if the corpus is used up.
    """
    filled: list[tuple[int, int]] = []
    for row in rows.tolist():
        anchor = corpus.anchor[row]
        have = ids[row] >= 0
        need = int((~have).sum())
        barred = {int(anchor), int(corpus.positive[row]), *ids[row][have].tolist()}
        chosen: list[int] = []
        for _ in range(4):  # a few draws do, unless nearly everything is barred
            draw = np.unique(rng.choice(corpus.candidates, size=2 * need + 8))
            rng.shuffle(draw)
            draw = draw[~corpus.is_known(np.full(len(draw), anchor), draw)]
            chosen += [i for i in draw.tolist() if i not in barred]
            barred |= set(chosen)
            if len(chosen) >= need:
                break
        else:
            rest = rng.permutation(corpus.candidates)
            rest = rest[~corpus.is_known(np.full(len(rest), anchor), rest)]
            chosen += [i for i in rest.tolist() if i not in barred]
        slots = (~have).nonzero()[0][: len(chosen)]
        ids[row, slots] = chosen[: len(slots)]
        filled += [(row, int(slot)) for slot in slots]
    if filled:
        row, slot = np.array(filled, np.int64).T
        scores[row, slot] = source.pairs(corpus.anchor[row], ids[row, slot])
    return len(filled)
