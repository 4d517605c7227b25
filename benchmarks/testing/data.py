"""The contract of data sets, for plugin authors and for this package's own tests."""

from typing import Any

import numpy as np

from nsbench.benchmarks.data import DataSet, LabelledTexts, Ranking, datasets, normalise
from nsbench.samplers.testing import Contract, expect

DATA_SETS: Contract[DataSet] = Contract(datasets)
"""The contract of data sets."""


@DATA_SETS.law
def reads_the_same_twice(dataset: DataSet) -> None:
    """`check` passes, and the same parameters give the same rows."""
    dataset.check()
    expect(dataset().digest == dataset().digest, "two calls give different rows")


@DATA_SETS.law
def points_at_its_texts(dataset: DataSet) -> None:
    """Rows point at texts that are there; anchors and positives always, negatives or -1."""
    data = dataset()
    expect(data.rows > 0 and len(data.texts) > 0, "there is no row or no text")
    expect(bool(data.name), "it has no name")
    for name in ("anchor", "positive"):
        value = getattr(data, name)
        expect(value.shape == (data.rows,), f"{name} has shape {value.shape}")
        expect(_between(value, 0, len(data.texts)), f"{name} points outside the texts")
    negatives = data.negatives
    expect(negatives.ndim == 2 and len(negatives) == data.rows, f"negatives {negatives.shape}")
    expect(_between(negatives, -1, len(data.texts)), "negatives point outside the texts")
    if (others := data.others) is not None:
        expect(others.ndim == 2 and len(others) == data.rows, f"others {others.shape}")
        expect(_between(others, -1, len(data.texts)), "others point outside the texts")
    if (hidden := data.hidden) is not None:
        expect(hidden.ndim == 2 and hidden.shape[1] == 2, f"hidden {hidden.shape}")
        expect(_between(hidden, 0, len(data.texts)), "hidden points outside the texts")
    for name, size in (("meaning", len(data.texts)), ("nli", data.rows)):
        value = getattr(data, name)
        expect(value is None or value.shape == (size,), f"{name} does not have {size} entries")


@DATA_SETS.law
def texts_are_filled(dataset: DataSet) -> None:
    """Every text is a string with something in it."""
    bad = [t for t in dataset().texts if not isinstance(t, str) or not t.strip()]
    expect(not bad, f"{len(bad)} texts are empty or no strings: {bad[:1]!r}")


@DATA_SETS.law
def given_negatives_are_no_positives(dataset: DataSet) -> None:
    """A given negative is not the row's positive, nor its anchor, nor equal to one of them."""
    data = dataset()
    pair = np.column_stack([data.group[data.anchor], data.group[data.positive]])
    there = data.negatives >= 0
    group = np.where(there, data.group[data.negatives], -1)
    clash = (there & (group[:, :, None] == pair[:, None, :]).any(axis=2)).any(axis=1)
    expect(not clash.any(), f"row {int(clash.argmax())} has its anchor or positive as a negative")


@DATA_SETS.law
def tests_share_no_text_with_its_rows(dataset: DataSet) -> None:
    """Its own evaluation sets hold no training text."""
    seen = {normalise(t) for t in dataset().texts}
    dev = dataset.dev()
    for test in (*dataset.tests(), *([dev] if dev is not None else [])):
        if isinstance(test, LabelledTexts):
            texts: tuple[Any, ...] = test.test_texts
        elif isinstance(test, Ranking):  # documents are there to be trained on
            texts = tuple(test.queries.values())
        else:
            texts = (*test.sentence1, *test.sentence2)
        shared = [t for t in texts if normalise(t) in seen]
        expect(not shared, f"{test.name} shares {len(shared)} texts with the training rows")


def _between(values: Any, low: int, high: int) -> bool:
    return bool(values.size == 0 or (values.min() >= low and values.max() < high))
