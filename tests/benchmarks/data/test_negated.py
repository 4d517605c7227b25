"""Negations by rules, and data sets that get them as given negatives."""

from dataclasses import replace

import numpy as np
import pytest

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.data.negated import negation, with_negations
from nsbench.benchmarks.testing.data import DATA_SETS


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("A man is playing a guitar.", "A man is not playing a guitar."),
        ("The dogs are not asleep.", "The dogs are asleep."),
        ("They can swim, and will win", "They can not swim, and will win"),
        ("He won't go.", "He will go."),
        ("It isn't cold", "It is cold"),
        ("Can't you see?", "Can you see?"),
        ("She doesn\N{RIGHT SINGLE QUOTATION MARK}t sing", "She does sing"),
        ('"Is it?", she asked', '"Is not it?", she asked'),
        ("A child runs", "Not A child runs"),
        ("not", ""),
        ("(not) here", "() here"),
        ("is", "is not"),
        ("", ""),
    ],
)
def test_negation_takes_a_not_away_or_gives_one_to_the_first_auxiliary(
    text: str, wanted: str
) -> None:
    assert negation(text) == wanted


def test_sentences_without_an_auxiliary_may_stay_as_they_are() -> None:
    assert negation("A child runs", "none") == ""
    assert negation("A child is running", "none") == "A child is not running"


def test_negated_data_give_every_row_one_more_negative() -> None:
    plain = datasets.make("planted", rows=60)()
    made = datasets.make("negated", data={"name": "planted", "rows": 60})()
    assert made.rows == plain.rows
    assert made.negatives.shape == (60, plain.negatives.shape[1] + 1)
    assert made.texts[: len(plain.texts)] == plain.texts
    for row in range(60):
        found = made.negatives[row, -1]
        assert made.texts[found] == negation(plain.texts[plain.anchor[row]])
    assert (made.meaning[len(plain.texts) :] == -1).all()
    assert made.digest != plain.digest


def test_rows_without_a_negation_are_counted_and_have_none() -> None:
    plain = datasets.make("planted", rows=40)()
    texts = list(plain.texts)
    first = int(plain.anchor[0])
    texts[first] = "Children run."
    made = with_negations(replace(plain, texts=tuple(texts)), "none")
    bare = np.flatnonzero(made.negatives[:, -1] < 0)
    assert 0 in bare
    item = made.report["left_out"][-1]
    assert (item["why"], item["count"]) == ("no negation: the row has none", len(bare))


def test_a_negation_that_is_the_positive_is_no_negative() -> None:
    plain = datasets.make("planted", rows=40)()
    texts = [*plain.texts, "It is wet.", "It is  NOT wet."]
    anchor, positive = plain.anchor.copy(), plain.positive.copy()
    anchor[0], positive[0] = len(texts) - 2, len(texts) - 1
    changed = replace(plain, texts=tuple(texts), anchor=anchor, positive=positive, meaning=None)
    assert with_negations(changed, "prefix").negatives[0, -1] == -1


def test_negated_keeps_the_contract_of_data() -> None:
    DATA_SETS.check("negated", data={"name": "planted", "rows": 80})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("planed", r"negated: data: no data set is called 'planed'"),
        ({"rows": 3}, r"negated: data .*has no name"),
        ({"name": "planted", "rows": -1}, r"negated: data: planted: rows"),
        (3, r"negated: data"),
    ],
)
def test_negated_refuses_what_is_no_data_set(data: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        datasets.make("negated", data=data)
