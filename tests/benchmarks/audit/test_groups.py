"""Groups and parts: no text, equal or nearly equal, in two parts."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_data import pairs_of

from nsbench.benchmarks.audit.groups import PARTS, groups_of, near_pairs, split_rows
from nsbench.benchmarks.audit.parts import has_classes, paired_by_class, write_parts
from nsbench.benchmarks.audit.texts import facts, scripts
from nsbench.benchmarks.data import TrainingData, datasets, normalise
from nsbench.benchmarks.data._rows import chosen
from nsbench.benchmarks.mining.dataset.write import read_data, read_graded


def _data(rows: list[tuple[str, str]], more: tuple[str, ...] = ()) -> TrainingData:
    texts = list(dict.fromkeys([*(t for row in rows for t in row), *more]))
    number = {t: i for i, t in enumerate(texts)}
    return pairs_of(texts, [(number[a], number[b]) for a, b in rows])


def _texts(folder: Path) -> set[str]:
    lines = [*(folder / "queries.jsonl").open(), *(folder / "corpus.jsonl").open()]
    return {normalise(json.loads(line)["text"]) for line in lines}


def test_rows_that_share_a_text_are_one_group() -> None:
    data = _data([("a", "b"), ("B ", "c"), ("d", "e"), ("c", "f")])
    group = groups_of(data, np.zeros((0, 2), np.int64))
    assert group[0] == group[1] == group[3] != group[2]


def test_nearly_equal_texts_are_found_and_connect_rows() -> None:
    long = "the quick brown fox jumps over the lazy dog near a river"
    data = _data([(long, "x"), (long + "!", "y"), (long.replace("river", "lake"), "z")])
    other = _data([(long, "x"), ("something else is written in this line", "y")])
    near = near_pairs(data.texts)
    assert len(near) == 3
    assert len(set(groups_of(data, near).tolist())) == 1
    assert len(near_pairs(other.texts)) == 0


def test_parts_share_no_text_and_have_their_sizes(tmp_path: Path) -> None:
    rows = [(f"question {i} of many words", f"answer {i // 2} in other words") for i in range(200)]
    data = _data(rows, tuple(f"free document {i}" for i in range(50)))
    split = split_rows(groups_of(data, near_pairs(data.texts)), seed=3)
    assert [len(split.rows(p)) for p in PARTS] == pytest.approx([120, 30, 50], abs=3)
    written = write_parts(data, split, tmp_path, classes=False, seed=3)
    sets = [_texts(tmp_path / part) for part in PARTS]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]
    assert set.union(*sets) == {normalise(t) for t in data.texts}
    assert sum(w.pairs for w in written.values()) == 200
    again = write_parts(data, split, tmp_path / "again", classes=False, seed=3)
    assert again == written
    for path in sorted(tmp_path.glob("t*/*.jsonl")):
        assert (tmp_path / "again" / path.relative_to(tmp_path)).read_bytes() == path.read_bytes()


def test_a_group_larger_than_a_test_goes_to_training() -> None:
    group = np.array([0] * 60 + list(range(1, 41)))
    split = split_rows(group)
    assert set(split.part[:60]) == {0}
    assert split.largest == 60
    assert all(split.groups)


def test_a_query_that_is_a_document_of_its_test_is_left_out(tmp_path: Path) -> None:
    data = _data([(f"a{i}", f"b{i}") for i in range(40)] + [(f"b{i}", f"a{i}") for i in range(40)])
    split = split_rows(groups_of(data, np.zeros((0, 2), np.int64)))
    written = write_parts(data, split, tmp_path, classes=False)
    assert written["train"].left_out == 0
    assert written["test"].left_out == written["test"].documents > 0


def test_classes_make_pairs_of_each_text_once(tmp_path: Path) -> None:
    texts = tuple(f"text {i}" for i in range(90))
    data = pairs_of(texts, meaning=np.arange(90) % 3)
    assert has_classes(data)
    pairs = paired_by_class(data, seed=1)
    used = np.concatenate([pairs.anchor, pairs.positive])
    assert len(used) == len(set(used.tolist())) == 90
    assert (pairs.meaning[pairs.anchor] == pairs.meaning[pairs.positive]).all()
    split = split_rows(np.arange(90))
    written = write_parts(data, split, tmp_path, classes=True)
    asked = {json.loads(line)["text"] for line in (tmp_path / "test/queries.jsonl").open()}
    found = {json.loads(line)["text"] for line in (tmp_path / "test/corpus.jsonl").open()}
    assert not asked & found
    assert written["test"].pairs > written["test"].queries > 0
    assert {part: w.further for part, w in written.items()} == {
        **{"train": (), "dev": (), "test": ("classes",)}
    }
    told = {}
    for part in ("train", "test"):
        rows = [json.loads(line) for line in (tmp_path / part / "classes.jsonl").open()]
        told[part] = {row["text"]: row["label"] for row in rows}
        number = PARTS.index(part)
        assert told[part] == {texts[i]: str(i % 3) for i in np.flatnonzero(split.part == number)}
    assert not told["train"].keys() & told["test"].keys()
    assert not (tmp_path / "dev" / "classes.jsonl").exists()


def test_texts_known_to_be_wrong_make_a_further_test_of_pairs(tmp_path: Path) -> None:
    data = datasets.make("planted", rows=200, negatives=1, seed=2)()
    split = split_rows(groups_of(data, np.zeros((0, 2), np.int64)))
    written = write_parts(data, split, tmp_path, classes=False)
    assert written["test"].further == ("pairs",)
    rows = [json.loads(line) for line in (tmp_path / "test" / "pairs.jsonl").open()]
    told = {(row["sentence1"], row["sentence2"]): row["label"] for row in rows}
    text = data.texts
    for row in split.rows("test"):
        anchor = text[data.anchor[row]]
        assert told[anchor, text[data.positive[row]]] == 1
        wrong = text[data.negatives[row, 0]]
        assert told[anchor, wrong] == (wrong == text[data.positive[row]])
    few = split_rows(groups_of(chosen(data, np.arange(40)), np.zeros((0, 2), np.int64)))
    assert not write_parts(chosen(data, np.arange(40)), few, tmp_path / "few", classes=False)[
        "test"
    ].further


@pytest.mark.parametrize(("grades", "name"), [(3, "grades"), (2, "pairs")])
def test_graded_pairs_of_a_locked_test_hold_no_text_of_another_part(
    grades: int, name: str, tmp_path: Path
) -> None:
    lines = [f"question {i},answer {i},{grades - 1}\n" for i in range(200)]
    lines += [f"question {i},answer {i + 1},{i % (grades - 1)}\n" for i in range(199)]
    lines += [f"question {i},only a wrong text {i},0\n" for i in range(200)]
    path = tmp_path / "graded.csv"
    path.write_text("sentence1,sentence2,score\n" + "".join(lines))
    source = f"file[path={path}, min_score={grades - 1}]"
    data, graded = read_data(source, {}), read_graded(source, {})
    assert (data.rows, graded.rows) == (200, 599)
    split = split_rows(groups_of(data, np.zeros((0, 2), np.int64)))
    written = write_parts(data, split, tmp_path / "out", classes=False, graded=graded)
    assert [w.further for w in written.values()] == [(), (), (name,)]
    again = write_parts(data, split, tmp_path / "out", classes=False, graded=graded)
    assert again == written  # also over what a killed process had written
    told = [json.loads(line) for line in (tmp_path / "out/test" / f"{name}.jsonl").open()]
    column = "score" if name == "grades" else "label"
    assert {row[column] for row in told} == set(range(grades))
    elsewhere = {data.texts[i] for i in data.anchor[split.part != PARTS.index("test")]}
    elsewhere |= {data.texts[i] for i in data.positive[split.part != PARTS.index("test")]}
    assert not elsewhere & {row[side] for row in told for side in ("sentence1", "sentence2")}
    right = {(f"question {i}", f"answer {i}") for i in split.rows("test")}
    best = {(r["sentence1"], r["sentence2"]) for r in told if r[column] == grades - 1}
    assert best == right


def test_a_layout_without_grades_has_no_graded_pairs_and_a_bad_grade_is_named(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("anchor,positive,score\na b,c d,4\ne f,g h,2\n")
    assert read_graded(f"file[path={path}, min_score=3]", {}) is None
    assert read_graded("planted[rows=20]", {}) is None
    path.write_text("sentence1,sentence2,score\na b,c d,4\ne f,g h,inf\n")
    with pytest.raises(ValueError, match=r"line 3: score must be finite"):
        read_graded(f"file[path={path}, min_score=3]", {})


def test_a_subset_keeps_its_rows_and_texts() -> None:
    data = datasets.make("planted", rows=50, negatives=2, seed=1)()
    some = chosen(data, np.array([3, 7, 20]), also=np.array([0, 1]))
    for new, old in zip(range(3), (3, 7, 20), strict=True):
        assert some.texts[some.anchor[new]] == data.texts[data.anchor[old]]
        assert some.texts[some.positive[new]] == data.texts[data.positive[old]]
        own = [some.texts[i] for i in some.negatives[new]]
        assert own == [data.texts[i] for i in data.negatives[old]]
    assert {data.texts[0], data.texts[1]} <= set(some.texts)


def test_facts_count_what_is_there() -> None:
    rows = [
        ("Guten Tag", "\u0414\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c"),
        ("one", "cut off ..."),
    ]
    found = facts(_data([*rows, rows[0], ("guten  tag", "other words")]))
    assert found["rows"] == 4
    assert found["repeated_rows"] == 1
    assert found["several_positives"] == 1
    assert found["equal_but_for_case_or_space"] == 1
    assert found["blank"] == 1
    assert found["cut"] == 1
    assert found["scripts"]["Cyrillic"] == 1
    assert scripts(["123", "\u4f60\u597d"]) == {"Cjk": 1, "no letter": 1}
