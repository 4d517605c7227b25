"""Plain facts of pairs: repeats, blanks, cut texts, scripts, and positives per anchor."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from nsbench.benchmarks.data import TrainingData, normalise
from nsbench.benchmarks.mining.words import words_of

MOST_READ = 20_000
"""Texts whose scripts are read, the first ones."""
_CUT = ("...", "\u2026", "-")
_ALIKE = 5  # texts of the greatest length that hint at a cut there
_LONG = 200


def script_of(sign: str) -> str:
    """Script of a letter by its Unicode name, such as ``Latin``; empty for other characters."""
    if not unicodedata.category(sign).startswith("L"):
        return ""
    return unicodedata.name(sign, "").split(" ")[0].split("-")[0].capitalize()


def scripts(texts: Sequence[str]) -> dict[str, int]:
    """Number of texts by the script of most of their letters, the most frequent first."""
    counted: Counter[str] = Counter()
    for text in texts[:MOST_READ]:
        letters = Counter(filter(None, map(script_of, text[:_LONG])))
        counted[max(letters, key=lambda s: (letters[s], s)) if letters else "no letter"] += 1
    return dict(counted.most_common())


def facts(data: TrainingData) -> dict[str, Any]:
    """Count what may matter before any training.

    Returns:
        Counts by name: rows, texts; ``repeated_rows``, whose two texts occur before;
        ``same_texts``, whose positive equals the anchor; ``given_negatives``; ``anchors`` and those
        with ``several_positives``; ``blank``, texts of at most one word; ``cut``, texts that end in
        an ellipsis or a hyphen; ``at_greatest_length``, texts of exactly the greatest length, where
        that hints at a cut, otherwise 0; quantiles of words per text, and texts by script.
    """
    group = data.group
    pairs = np.column_stack([group[data.anchor], group[data.positive]])
    anchors = np.unique(pairs[:, 0])
    known = np.unique(group[data.known], axis=0)
    several = np.bincount(known[:, 0])
    words = np.array([len(words_of(text)) for text in data.texts])
    lengths = np.array([len(text) for text in data.texts])
    at_most = int((lengths == lengths.max()).sum())
    return {
        "rows": data.rows,
        "texts": len(data.texts),
        "repeated_rows": data.rows - len(np.unique(pairs, axis=0)),
        "same_texts": int((pairs[:, 0] == pairs[:, 1]).sum()),
        "anchors": len(anchors),
        "given_negatives": int((data.negatives >= 0).sum()),
        "several_positives": int((several > 1).sum()),
        "equal_but_for_case_or_space": len(data.texts) - len({normalise(t) for t in data.texts}),
        "blank": int((words <= 1).sum()),
        "cut": sum(text.rstrip().endswith(_CUT) for text in data.texts),
        "at_greatest_length": at_most if at_most >= _ALIKE else 0,
        "greatest_length": int(lengths.max()),
        "words": {f"q{q:02d}": float(np.quantile(words, q / 100)) for q in (5, 50, 95)},
        "scripts": scripts(data.texts),
    }
