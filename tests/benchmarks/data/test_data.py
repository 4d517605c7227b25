import math
from dataclasses import replace

import numpy as np
import pytest
from made_data import pairs_of

from nsbench.benchmarks.data import (
    TrainingData,
    datasets,
    false_negative_rate,
    normalise,
    text_groups,
)


def data(texts: tuple[str, ...], anchor: list[int], positive: list[int]) -> TrainingData:
    return pairs_of(texts, list(zip(anchor, positive, strict=True)), "toy")


def test_every_data_set_is_found_and_described() -> None:
    assert {"file", "hub", "planted", "sts_unlabelled"} <= set(datasets.names())
    for entry in datasets:
        assert entry.summary
        for parameter in entry.parameters:
            assert parameter.description, f"{entry.name}: {parameter.name}"


def test_every_data_set_offers_the_protocol() -> None:
    for entry in datasets:
        for name in ("check", "__call__", "tests", "dev"):
            assert callable(getattr(entry.cls, name))


def test_data_sets_have_no_evaluation_sets_unless_they_say_so() -> None:
    plain = datasets.make("file", path="x.txt")
    assert plain.tests() == []
    assert plain.dev() is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("A  dog", "a dog"), ("Straße", "STRASSE"), ("ﬁne", "fine"), (" a\tb\n", "a b")],
)
def test_normalise_takes_as_equal(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)
    assert text_groups([one, "else", other]).tolist() == [0, 1, 0]


def test_digest_sees_everything_that_training_sees() -> None:
    one = data(("a", "b", "c"), [0, 1], [1, 2])
    others = [
        replace(one, texts=("a", "bc", "")),
        replace(one, anchor=one.positive),
        replace(one, positive=one.anchor),
        replace(one, negatives=np.array([[2], [0]])),
        replace(one, meaning=np.array([0, 0, 1])),
        replace(one, nli=np.array([0, 1])),
    ]
    assert len({x.digest for x in [one, *others]}) == 7
    assert replace(one, name="other", revision="r").digest == one.digest


def test_false_negative_rate_is_unknown_without_meanings() -> None:
    assert math.isnan(false_negative_rate(data(("a", "b"), [0, 1], [0, 1])))


def test_false_negative_rate_by_hand() -> None:
    # Rows a-b, c-d, e-f, g-g with meanings 0, 0, 1, unknown: of the 12 ordered pairs of rows,
    # the two between the first two rows are false negatives.
    toy = data(("a", "b", "c", "d", "e", "f", "g"), [0, 2, 4, 6], [1, 3, 5, 6])
    known = replace(toy, meaning=np.array([0, 0, 0, 0, 1, 1, -1]))
    assert false_negative_rate(known) == pytest.approx(2 / 12)


def test_false_negative_rate_leaves_out_equal_texts() -> None:
    # The second row repeats the first letter for letter, so neither can serve the other.
    toy = data(("a", "b", "A", "B", "c", "d"), [0, 2, 4], [1, 3, 5])
    known = replace(toy, meaning=np.array([0, 0, 0, 0, 0, 0]))
    assert false_negative_rate(known) == 1.0
    assert false_negative_rate(replace(known, meaning=np.array([0, 0, 0, 0, 1, 1]))) == 0.0
