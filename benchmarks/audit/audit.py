"""Audit pairs: facts, difficulty of candidates by source, false negatives, suspicious texts.

Everything is a function of the data, the model and the seed. Where the data are many, a sample is
read, and its size is part of the result.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.benchmarks.audit.groups import PARTS, Split, groups_of, near_pairs, split_rows
from nsbench.benchmarks.audit.guides import fitted, unit, word_vectors
from nsbench.benchmarks.audit.judged import judged
from nsbench.benchmarks.audit.swaps import BANDS, NAMES, Share, Swaps, shares, swaps
from nsbench.benchmarks.audit.texts import facts
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.data._rows import chosen
from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.mining.bm25 import Bm25
from nsbench.benchmarks.mining.corpus import Corpus, mine
from nsbench.benchmarks.mining.dataset.rescore import Rescorer
from nsbench.benchmarks.mining.settings import Window
from nsbench.benchmarks.mining.sources import DenseSource, LexicalSource, Source
from nsbench.benchmarks.seeds import seed_for

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_ROWS = 1200
"""Rows that the estimate of false negatives reads."""
MOST_TEXTS = 50_000
"""Texts that are searched for nearly equal ones, the first ones."""
MOST_RANKED = 4000
"""Texts that are ranked as candidates for the histograms, next to those of the anchors' rows."""
ANCHORS = 300
"""Anchors whose candidates are drawn as histograms."""
HARD = 10
"""Places of a ranking that count as its hard candidates."""
SUSPICIOUS = 20
BINS = np.linspace(-1.0, 1.0, 81)
_FOLDS = 2


@dataclass(frozen=True, eq=False)
class Audit:
    """Findings about the data.

    Attributes:
        facts: See `texts.facts`.
        split: Parts of the rows, as read.
        group: ``(R,)`` connected group of every row, as read.
        near: Pairs of texts that are nearly equal.
        shares: False negatives among candidates, see `swaps.shares`; empty if not measurable.
        why_not: Why they are not measurable; empty if they are.
        told: Shares by the labels of the data, by the same names; empty without labels.
        histograms: Counts in `BINS` by source of candidates.
        suspicious: Candidates that look like false negatives, the likeliest first.
        model: Name of the similarity.
        read: Rows and texts that were read, by purpose.
        judge: Name of the cross-encoder; empty without one.
        by_judge: False negatives among candidates by it, see `judged.judged`.
    """

    facts: Mapping[str, Any]
    split: Split
    group: Ints
    near: int
    shares: tuple[Share, ...]
    why_not: str
    told: Mapping[str, float]
    histograms: Mapping[str, Sequence[int]]
    suspicious: tuple[Mapping[str, Any], ...]
    model: str
    read: Mapping[str, int]
    judge: str = ""
    by_judge: tuple[Share, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As plain data, for a file."""
        return {
            "facts": dict(self.facts),
            "parts": {
                name: {
                    "rows": int((self.split.part == place).sum()),
                    "groups": self.split.groups[place],
                }
                for place, name in enumerate(PARTS)
            },
            "largest_group": self.split.largest,
            "near_pairs": self.near,
            "false_negatives": {
                "by_swaps": [share.plain() for share in self.shares],
                "why_not": self.why_not,
                "by_labels": dict(self.told),
                "by_judge": [share.plain() for share in self.by_judge],
                "judge": self.judge,
            },
            "histograms": {name: list(counts) for name, counts in self.histograms.items()},
            "suspicious": [dict(found) for found in self.suspicious],
            "similarity": self.model,
            "read": dict(self.read),
        }

    def lines(self) -> list[str]:
        """The findings in a few sentences."""
        counts = self.facts
        out = [
            f"{counts['rows']:,} rows over {counts['texts']:,} texts; {counts['repeated_rows']:,} "
            f"repeated rows, {counts['blank']:,} texts of at most one word, {counts['cut']:,} that "
            "may be cut",
        ]
        if self.why_not:
            out.append(f"false negatives are not measurable: {self.why_not}")
        for share in self.shares:
            known = self.told.get(share.name)
            out.append(
                f"false negatives among {share.name}: {share.low:.2%} to {share.high:.2%}"
                + ("" if known is None else f" (by the labels of the data: {known:.2%})")
            )
        for share in self.by_judge:
            out.append(f"by {self.judge}, among {share.name}: {share.low:.2%} to {share.high:.2%}")
        return out


def audit(
    data: TrainingData,
    model: TextModel | None = None,
    guide: TextModel | None = None,
    *,
    judge: Rescorer | None = None,
    told: TrainingData | None = None,
    seed: int = 0,
) -> Audit:
    """Audit training data by the similarity of a model and of words, or of words alone.

    A guide is a further source of candidates, a judge a second opinion on false negatives; ``told``
    are the data as they were read, where pairs had to be formed from them.
    """
    told = data if told is None else told
    texts = np.arange(min(len(data.texts), MOST_TEXTS))
    near = near_pairs([data.texts[i] for i in texts])
    groups = groups_of(told, near)
    read = read_rows(data, groups_of(data, near), model, seed=seed)
    why = _why_not(data, read.rows)
    found = [] if why else shares(read.folds, seed=seed)
    if not why and not found:
        why = f"{len(read.rows)} rows are too few"
    second: list[Share] = []
    if judge is not None and not why:
        anchors, positives = (
            [data.texts[i] for i in side[read.rows]] for side in (data.anchor, data.positive)
        )
        second = judged(anchors, positives, read.places, judge.score, seed=seed)
    histograms, ranked = _histograms(data, model, guide, seed)
    return Audit(
        facts=facts(told) | ({"read": told.report} if told.report else {}),
        split=split_rows(groups, seed=seed),
        group=groups,
        near=len(near),
        shares=tuple(found),
        why_not=why,
        told=by_labels(data, read),
        histograms=histograms,
        suspicious=() if why else tuple(_suspicious(data, read)),
        model="words" if model is None else f"{model.name} and words",
        read={"rows": len(read.rows), "texts": len(texts), "ranked": ranked},
        judge="" if judge is None else judge.name,
        by_judge=tuple(second),
    )


@dataclass(frozen=True, eq=False)
class Read:
    """The n sampled rows, compared.

    Attributes:
        rows: ``(n,)`` numbers of the rows.
        folds: Their pairs, by fold.
        places: ``(n, n)`` place of each positive in the ranking of each anchor, from 0; -1 for
            what is known to mean the same.
        model: ``(n, n)`` similarity of anchors and positives by the model, or by words.
        words: The same by words.
    """

    rows: Ints
    folds: tuple[Swaps, ...]
    places: Ints
    model: Doubles
    words: Doubles


def read_rows(data: TrainingData, group: Ints, model: TextModel | None, *, seed: int = 0) -> Read:
    """Sample rows, of ``(R,)`` connected groups, and compare every two of them."""
    rows = _sample(group, seed)
    points = _Points(data, rows, model)
    own = group[rows]
    rng = np.random.default_rng(seed_for(seed, "audit folds"))
    fold = rng.permutation(int(group.max()) + 1)[own] % _FOLDS
    left, right = fitted(points.anchors, points.positives, fold)
    known = own[:, None] == own[None, :]
    ranked = np.where(known, -np.inf, points.model)
    places = np.argsort(np.argsort(-ranked, axis=1, kind="stable"), axis=1, kind="stable")
    places = np.where(known, -1, places)
    folds = []
    for number in range(_FOLDS):
        here = np.flatnonzero(fold == number)
        if len(here) > 1:
            some = np.ix_(here, here)
            folds.append(swaps(here, left[here], right[here], known[some], places[some]))
    return Read(rows, tuple(folds), places, points.model, points.words)


def by_labels(data: TrainingData, read: Read) -> dict[str, float]:
    """Share of candidates that have the anchor's known meaning, by name as in `shares`."""
    if data.meaning is None:
        return {}
    meaning = data.meaning[data.anchor[read.rows]]
    same = (meaning[:, None] == meaning[None, :]) & (meaning >= 0)[:, None]
    out = {}
    for name, (first, last) in zip(NAMES, ((0, len(meaning)), *BANDS), strict=True):
        there = (read.places >= first) & (read.places < last)
        if there.any():
            out[name] = round(float(same[there].mean()), 5)
    return out


def _sample(group: Ints, seed: int) -> Ints:
    """Rows of whole groups, `MOST_ROWS` at most, ascending."""
    rng = np.random.default_rng(seed_for(seed, "audit rows"))
    order = rng.permutation(int(group.max()) + 1)[group]
    return np.sort(np.lexsort((np.arange(len(group)), order))[:MOST_ROWS])


class _Points:
    """Vectors of the texts of the sampled rows.

    Attributes:
        anchors: ``(n, d)`` of the model next to those of words.
        positives: Likewise.
        model: ``(n, n)`` similarity of anchors and positives by the model, or by words.
        words: The same by words.
    """

    def __init__(self, data: TrainingData, rows: Ints, model: TextModel | None) -> None:
        used, place = np.unique(
            np.concatenate([data.anchor[rows], data.positive[rows]]), return_inverse=True
        )
        texts = [data.texts[i] for i in used]
        words = word_vectors(texts)
        whole = words
        dense = words if model is None else unit(np.asarray(model.encode(texts), np.float64))
        if model is not None:
            whole = np.concatenate([dense, words], axis=1)
        a, p = place[: len(rows)], place[len(rows) :]
        self.anchors, self.positives = whole[a], whole[p]
        self.model, self.words = dense[a] @ dense[p].T, words[a] @ words[p].T


def _why_not(data: TrainingData, rows: Ints) -> str:
    same = data.group[data.anchor[rows]] == data.group[data.positive[rows]]
    if same.mean() > 0.5:
        return "most rows have one text as anchor and as positive, so nothing can be swapped"
    return ""


def _suspicious(data: TrainingData, read: Read) -> list[dict[str, Any]]:
    """Pairs of rows whose texts are most alike, each row in one pair at most."""
    rows, places, points = read.rows, read.places, read
    most = [
        (-float(fold.alike[m]), fold, int(m))
        for fold in read.folds
        for m in np.argsort(-fold.alike, kind="stable")[: 50 * SUSPICIOUS]
    ]
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    for _, fold, m in sorted(most, key=lambda one: one[0]):
        i, j = int(fold.rows[fold.left[m]]), int(fold.rows[fold.right[m]])
        if i in seen or j in seen:
            continue
        seen |= {i, j}
        i, j = (j, i) if places[i, j] > places[j, i] else (i, j)
        found.append(
            {
                "anchor": data.texts[data.anchor[rows[i]]],
                "positive": data.texts[data.positive[rows[i]]],
                "candidate": data.texts[data.positive[rows[j]]],
                "place": int(places[i, j]) + 1,
                "positive_similarity": round(float(points.model[i, i]), 4),
                "candidate_similarity": round(float(points.model[i, j]), 4),
                "words_in_common": round(float(points.words[i, j]), 4),
            }
        )
        if len(found) == SUSPICIOUS:
            break
    return found


def _histograms(
    data: TrainingData, model: TextModel | None, guide: TextModel | None, seed: int
) -> tuple[dict[str, list[int]], int]:
    """Counts of similarity to the anchor, by one measure, for candidates from every source.

    Returns:
        Counts by source, and the number of texts that were ranked.
    """
    rng = np.random.default_rng(seed_for(seed, "audit anchors"))
    rows = np.sort(rng.permutation(data.rows)[:ANCHORS])
    more = rng.permutation(len(data.texts))[:MOST_RANKED]
    some = chosen(data, rows, also=more)
    corpus = Corpus(some, "all" if (data.anchor == data.positive).all() else "documents")
    texts = [some.texts[i] for i in corpus.text]
    yard = _dense(model, texts, corpus.candidates)
    sources: dict[str, Source] = {"model" if model else "words": yard}
    with suppress(ValueError):  # no text has a word
        sources["bm25"] = LexicalSource(Bm25(texts), corpus.candidates)
    if guide is not None:
        sources["guide"] = _dense(guide, texts, corpus.candidates)
    window = Window(depth=HARD, stop=HARD)
    out = {"positives": yard.pairs(corpus.anchor, corpus.positive)}
    drawn = rng.choice(corpus.candidates, size=(len(corpus.anchor), HARD))
    anchors = np.repeat(corpus.anchor, HARD)
    usable = (anchors != drawn.ravel()) & ~corpus.is_known(anchors, drawn.ravel())
    out["random"] = yard.pairs(anchors[usable], drawn.ravel()[usable])
    for name, source in sources.items():
        ids = mine(corpus, source, window, shortage="fewer", rng=rng).ids  # (R, HARD)
        there = ids >= 0
        own = np.repeat(corpus.anchor, there.sum(axis=1))
        out[f"{name}, first {HARD}"] = yard.pairs(own, some.group[ids[there]])
    counts = {n: np.histogram(v.clip(-1, 1), BINS)[0].tolist() for n, v in out.items()}
    return counts, len(texts)


def _dense(model: TextModel | None, texts: list[str], candidates: Ints) -> DenseSource:
    """A ranking by a model, or by words without one."""
    points = word_vectors(texts) if model is None else model.encode(texts)
    name = "words" if model is None else model.name
    return DenseSource(torch.from_numpy(np.asarray(points, np.float32)), candidates, name=name)
