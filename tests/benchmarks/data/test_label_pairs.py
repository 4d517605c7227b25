"""Pairs of labelled texts: another text of the label as the positive."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_data import load, put, refused

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.data._layouts import LAYOUTS
from nsbench.benchmarks.data._rows import paired_by_label
from nsbench.benchmarks.data._types import false_negative_rate, normalise

LINES = ["text,label", *(f"{label}{i},{label}" for i in range(4) for label in "abc")]
TABLE = "\n".join(LINES)


def left_out(data: TrainingData) -> dict[str, tuple[int, list[str]]]:
    return {item["why"]: (item["count"], item["first"]) for item in data.report["left_out"]}


def test_each_text_has_another_text_of_its_label(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", TABLE)
    data = load(path, views="label")
    pairs = [
        (data.texts[a], data.texts[p]) for a, p in zip(data.anchor, data.positive, strict=True)
    ]
    assert [a for a, _ in pairs] == [line[:2] for line in LINES[1:]]
    assert all(a[0] == p[0] and a != p for a, p in pairs)
    assert set(Counter(p for _, p in pairs).values()) == {1}
    assert data.negatives.shape == (12, 0)
    assert false_negative_rate(data) == pytest.approx(2 / 10)
    assert left_out(data) == {}


def test_the_seed_decides_the_pairs_and_the_identity(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", TABLE)
    whole = [load(path, views="label", seed=seed) for seed in (0, 0, 1)]
    assert whole[0].positive.tolist() == whole[1].positive.tolist() != whole[2].positive.tolist()
    assert whole[0].digest == whole[1].digest != whole[2].digest
    assert load(path).digest not in {data.digest for data in whole}
    few = load(path, views="label", limit=5)
    texts = dict(zip(whole[0].anchor.tolist(), whole[0].positive.tolist(), strict=True))
    named = {whole[0].texts[a]: whole[0].texts[p] for a, p in texts.items()}
    assert few.rows == 5
    for row in range(5):
        assert named[few.texts[few.anchor[row]]] == few.texts[few.positive[row]]


def test_what_cannot_be_paired_is_counted_with_its_place(tmp_path: Path) -> None:
    lines = ["text,label", "a,x", "lost,", "b,x", "only,y", "twin,z", "TWIN,z", "a,x"]
    data = load(put(tmp_path / "x.csv", "\n".join(lines)), views="label")
    pairs = zip(data.anchor.tolist(), data.positive.tolist(), strict=True)
    assert [(data.texts[a], data.texts[p]) for a, p in pairs] == [
        *(("a", "b"), ("b", "a"), ("a", "b")),
    ]
    assert data.texts == ("a", "b")
    assert left_out(data) == {
        "no label": (1, ["row 2"]),
        "the only text of its label": (3, ["row 4", "row 5", "row 6"]),
    }


@pytest.mark.parametrize("lines", [["text", "a", "b"], ["text,label", "a,x", "b,y"]])
def test_labels_without_two_texts_are_refused(tmp_path: Path, lines: list[str]) -> None:
    message = refused(put(tmp_path / "x.csv", "\n".join(lines)), views="label")
    assert message == "x.csv: views is 'label', but no label has two different texts"


@pytest.mark.parametrize("layout", [x for x in LAYOUTS if "label" not in x.options], ids=str)
def test_other_layouts_refuse_it(tmp_path: Path, layout: Any) -> None:
    path = put(tmp_path / "x.csv", 2 * (",".join(layout.required) + "\n"))
    dataset = datasets.make("file", path=str(path), views="label")
    with pytest.raises(ValueError, match="views = 'label' is set, but rows of"):
        dataset.check()


def test_a_retrieval_folder_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv"):
        (tmp_path / name).touch()
    dataset = datasets.make("file", path=str(tmp_path), views="label")
    with pytest.raises(ValueError, match="views cannot be 'label'"):
        dataset.check()


@given(
    st.lists(st.tuples(st.sampled_from("abcABC"), st.integers(-1, 2)), min_size=1, max_size=20),
    st.integers(0, 5),
)
def test_law_pairs_share_a_label_and_no_text(rows: list[tuple[str, int]], seed: int) -> None:
    labels = dict(rows)  # the last label of a text counts
    texts = tuple(labels)
    alone = np.array([texts.index(text) for text, _ in rows])
    none = np.zeros((len(rows), 0), np.int64)
    data = TrainingData("x", texts, alone, alone, none, meaning=np.array([*labels.values()]))
    possible = [
        labels[text] >= 0
        and any(labels[t] == labels[text] and normalise(t) != normalise(text) for t in texts)
        for text, _ in rows
    ]
    if not any(possible):
        with pytest.raises(ValueError, match="no label has two different texts"):
            paired_by_label(data, seed)
        return
    paired = paired_by_label(data, seed)
    kept = [text for (text, _), keep in zip(rows, possible, strict=True) if keep]
    assert [paired.texts[a] for a in paired.anchor] == kept
    for anchor, positive in zip(paired.anchor, paired.positive, strict=True):
        one, two = paired.texts[anchor], paired.texts[positive]
        assert labels[one] == labels[two]
        assert normalise(one) != normalise(two)
