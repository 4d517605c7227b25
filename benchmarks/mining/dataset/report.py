"""Difficulty of a mined set, and the share of its negatives that may be positives.

Source: the vocabulary is `difficulty.statistics`'s; that a negative close to, or above, its
positive is the likeliest false one is Moreira et al. 2024, NV-Retriever. https://arxiv.org/abs/2407.15831
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.data import normalise
from nsbench.benchmarks.mining.dataset.mined_set import MinedSet
from nsbench.benchmarks.mining.words import split_words
from nsbench.benchmarks.records import QUANTILES

Numbers = NDArray[Any]
NEAR = 0.95
OVERLAP = 0.8


def report(mined: MinedSet) -> dict[str, Any]:
    """Counts, difficulty and false negatives as plain data.

    Returns:
        ``counts``; ``window``: places of the ranking that were examined; ``short_by``: short rows
        by the setting that left them short; ``difficulty``: mean, std and quantiles of the scores
        of positives and negatives, of the margin s_pos - s_neg and of the place in the ranking;
        ``texts``: how often one text serves as a negative; ``false_negatives``: shares of the
        negatives that are known to mean the same as the anchor (``known_same``, null without
        labels), score above the positive (``above_positive``) or above 95 % of it
        (``near_positive``), share at least 0.8 of their words with the anchor or its positive
        (``same_words``), or that the judge scores above the positive (``judge_above_positive``,
        null without one).
    """
    rows = mined.kept
    ids, scores = mined.negatives[rows], mined.scores[rows].astype(np.float64)
    there = ids >= 0
    positive = mined.positive_score[rows].astype(np.float64)
    margin = positive[:, None] - scores
    used = np.bincount(ids[there], minlength=1)
    used = used[used > 0]
    counts = {
        "rows": int(mined.data.rows),
        "rows_written": int(rows.sum()),
        "rows_short": mined.short,
        "rows_without_negative": int((~there.any(axis=1)).sum()),
        "negatives": int(there.sum()),
        "padded": mined.padded,
        "texts": len(mined.data.texts),
    }
    return {
        "counts": counts,
        "source": mined.source,
        "window": {
            "start": mined.settings.range_min,
            "stop": mined.stop,
            "widest_stop": int(mined.stops.max(initial=0)),
            "rows_widened": int((mined.stops > mined.stop).sum()),
        },
        "short_by": mined.short_by,
        "difficulty": {
            "positive_score": _summary(positive),
            "negative_score": _summary(scores[there]),
            "margin": _summary(margin[there]),
            "rank": _summary(mined.ranks[rows][there & (mined.ranks[rows] >= 0)]),
        },
        "texts": {
            "distinct_negatives": len(used),
            "most_often": int(used.max(initial=0)),
            "share_of_the_hundred_most_used": _share(np.sort(used)[::-1][:100].sum(), used.sum()),
        },
        "false_negatives": _false(mined, ids, there, margin, positive),
        "rejected": mined.reasons,
    }


def _false(
    mined: MinedSet, ids: Numbers, there: Numbers, margin: Numbers, positive: Numbers
) -> dict[str, float | None]:
    total = there.sum()
    near = positive[:, None] - margin > (positive - (1 - NEAR) * np.abs(positive))[:, None]
    data, rows = mined.data, mined.kept
    known = None
    if data.meaning is not None:
        mine = data.meaning[data.anchor[rows]][:, None]
        known = _share((there & (data.meaning[ids] == mine) & (mine >= 0)).sum(), total)
    judged = None
    if mined.judged is not None:
        second, own = (x[rows] for x in mined.judged)
        judged = _share((there & (second > own[:, None])).sum(), total)
    return {
        "known_same": known,
        "above_positive": _share((there & (margin < 0)).sum(), total),
        "near_positive": _share((there & near).sum(), total),
        "same_words": _share(_same_words(mined, ids, there), total),
        "judge_above_positive": judged,
    }


def _same_words(mined: MinedSet, ids: Numbers, there: Numbers) -> int:
    data = mined.data
    words: dict[int, frozenset[str]] = {}

    def of(text: int) -> frozenset[str]:
        if text not in words:
            words[text] = frozenset(split_words(normalise(data.texts[text])))
        return words[text]

    found = 0
    for row, places, some in zip(mined.kept.nonzero()[0], ids, there, strict=True):
        pair = of(int(data.anchor[row])), of(int(data.positive[row]))
        for text in places[some].tolist():
            best = max(len(of(text) & p) / max(1, len(of(text) | p)) for p in pair)
            found += best >= OVERLAP
    return found


def _share(part: Any, whole: Any) -> float | None:
    return round(float(part) / float(whole), 6) if whole else None


def _summary(values: Numbers) -> dict[str, float | None]:
    names = ["mean", "std", *(f"q{int(100 * q):02d}" for q in QUANTILES)]
    if not len(values):
        return dict.fromkeys(names)
    numbers = [values.mean(), values.std(), *np.quantile(values, QUANTILES)]
    return {name: round(float(x), 6) for name, x in zip(names, numbers, strict=True)}
