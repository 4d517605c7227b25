"""Files of `nsbench mine`: what is read and left out, ids, and every format read back."""

import json
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import LETTERS as MODEL
from made_data import beir, mine_command, put

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.data._reading import Reading
from nsbench.benchmarks.data._rows import Rows, without_repeats
from nsbench.benchmarks.data._values import unseen
from nsbench.benchmarks.mining.dataset import FORMATS, MinedSet, MineSettings
from nsbench.benchmarks.mining.dataset.formats import write_set
from nsbench.benchmarks.mining.dataset.mined_set import Mining
from nsbench.benchmarks.mining.dataset.write import mine_to, read_data, with_corpus
from nsbench.benchmarks.mining.settings import FILE_TYPES, MinedFiles

BASE = MineSettings(shortage="fewer", negatives=2)
Pair = tuple[str, str]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def found(data: TrainingData) -> dict[Pair, set[str]]:
    """Negatives of every pair, in words."""
    out: dict[Pair, set[str]] = defaultdict(set)
    for a, p, ns in zip(data.anchor, data.positive, data.negatives, strict=True):
        out[data.texts[a], data.texts[p]] |= {data.texts[n] for n in ns if n >= 0}
    return dict(out)


def by_anchor(pairs: dict[Pair, set[str]]) -> dict[str, tuple[set[str], set[str]]]:
    """Positives and negatives of every anchor: what formats that group by query keep."""
    out: dict[str, tuple[set[str], set[str]]] = {}
    for (anchor, positive), negatives in pairs.items():
        positives, all_negatives = out.setdefault(anchor, (set(), set()))
        positives.add(positive)
        all_negatives |= negatives
    return out


# --- every format is read back

words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
texts = words.map(str.strip).filter(lambda text: not unseen(text))
ids = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n\0"), min_size=1, max_size=4
).filter(lambda name: not unseen(name))


@st.composite
def mined_sets(draw: st.DrawFn) -> MinedSet:
    """Rows of few texts, so that anchors repeat, with negatives that are no known positives."""
    pool = draw(st.lists(texts, min_size=6, max_size=12, unique=True))
    rows = Rows()
    pairs = draw(
        st.lists(
            st.tuples(st.sampled_from(pool[:3]), st.sampled_from(pool[3:])),
            min_size=1,
            max_size=6,
            unique=True,
        )
    )
    for anchor, positive in pairs:
        rows.add(anchor, positive)
    for text in pool:
        rows.text(text)
    named = draw(st.lists(ids, min_size=len(pool), max_size=len(pool)))
    if draw(st.booleans()):
        rows.document_ids = dict(zip(pool, named, strict=True))
        rows.query_ids = dict(zip(pool[1:], named, strict=False))
    data = rows.data("made", "")
    known = defaultdict(set)
    for anchor, positive in pairs:
        known[anchor].add(positive)
    negatives = np.full((data.rows, 2), -1, np.int64)
    for row, (anchor, _) in enumerate(pairs):
        free = [t for t in pool if t != anchor and t not in known[anchor]]
        chosen = draw(st.lists(st.sampled_from(free), min_size=1, max_size=2, unique=True))
        negatives[row, : len(chosen)] = [rows.texts[t] for t in chosen]
    there = negatives >= 0
    return MinedSet(
        data=data,
        settings=BASE,
        negatives=negatives,
        scores=np.where(there, 0.5, np.nan).astype(np.float32),
        ranks=np.where(there, 0, -1),
        positive_score=np.full(data.rows, 0.75, np.float32),
        kept=np.ones(data.rows, np.bool_),
        short=0,
        padded=0,
        reasons={},
        source="test",
    )


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("file_type", FILE_TYPES)
@pytest.mark.parametrize("form", FORMATS)
@given(mined=mined_sets())
@settings(max_examples=25)
def test_every_format_is_read_back(
    form: str, file_type: str, scores: bool, mined: MinedSet
) -> None:
    if form == "beir" and (file_type == "parquet" or scores):
        return  # refused, and without scores
    if form == "n-tuple":
        whole = (mined.negatives >= 0).all(axis=1)
        mined = replace(mined, settings=BASE.replace(shortage="drop"), kept=whole)
    wanted = {
        (mined.data.texts[mined.data.anchor[r]], mined.data.texts[mined.data.positive[r]]): {
            mined.data.texts[n] for n in mined.negatives[r] if n >= 0
        }
        for r in mined.kept.nonzero()[0]
    }
    if not wanted:
        return
    files = MinedFiles(form=form, scores=scores, file_type=file_type)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        first = write_set(mined, folder, files)[0]
        read = datasets.make("file", path=str(folder if form == "beir" else first))
        data = read()
    if form in ("triplet", "n-tuple"):
        assert found(data) == wanted
    else:
        assert by_anchor(found(data)) == by_anchor(wanted)
    if form in ("flagembedding", "tevatron", "beir") and mined.data.document_ids:
        documents, queries = mined.data.document_ids, mined.data.query_ids
        for known, back in ((documents, data.document_ids), (queries, data.query_ids)):
            single = {t for t, n in known.items() if list(known.values()).count(n) == 1}
            assert {t: known[t] for t in single & set(back)} == {
                t: n for t, n in back.items() if t in single
            }
            assert len(set(back.values())) == len(back)


@pytest.mark.parametrize("form", FORMATS)
def test_a_set_mined_with_scores_is_training_data(tmp_path: Path, form: str) -> None:
    data = datasets.make("planted", rows=20, seed=1)()
    scores = form != "beir"
    shortage = BASE.replace(shortage="drop")
    mine_to(tmp_path, Mining(data, shortage, MODEL), MinedFiles(form=form, scores=scores))
    place = tmp_path if form == "beir" else tmp_path / "train.jsonl"
    back = read_data(str(place), {})
    assert {p for p, _ in found(back).items()} == {p for p, _ in found(data).items()}
    assert all(negatives for negatives in found(back).values())


# --- ids, repeats and the report


@pytest.mark.parametrize("form", ["beir", "tevatron", "flagembedding"])
def test_ids_go_through_mining(tmp_path: Path, form: str) -> None:
    names = [("x1", "red apple pie"), ("x2", "green apple"), ("x3", "blue whale"), ("d0", "a dog")]
    texts = [{"_id": i, "title": "", "text": t} for i, t in names]
    asked = [{"_id": "ask-7", "text": "which pie"}]
    data = read_data(str(beir(tmp_path / "in", texts, asked, train="ask-7\tx1\t1\n")), {})
    corpus = put(tmp_path / "more.jsonl", [{"docid": 55, "text": "a whale"}, {"text": "pies"}])
    both, documents = with_corpus(data, corpus)
    out = tmp_path / "out"
    mining = Mining(both, BASE.replace(negatives=5), MODEL, documents=documents)
    mine_to(out, mining, MinedFiles(form=form))
    back = read_data(str(out if form == "beir" else out / "train.jsonl"), {})
    assert back.query_ids == {"which pie": "ask-7"}
    known = data.document_ids | {"a whale": "55"}
    assert {t: n for t, n in back.document_ids.items() if t in known} == known
    assert back.document_ids["pies"] not in known.values()  # d0 is another's


def test_a_pair_that_repeats_is_mined_once_and_counted(tmp_path: Path) -> None:
    rows = [{"anchor": "abc", "positive": "abd", "negative": "zz"}]
    rows += [{"anchor": "xyz", "positive": "xxy"}, {"anchor": "abc", "positive": "abd"}]
    rows += [{"anchor": "abc", "positive": "abd", "negative": "yy"}]
    data = read_data(str(put(tmp_path / "pairs.jsonl", rows)), {})
    once = without_repeats(data)
    assert found(once) == {("abc", "abd"): {"zz", "yy"}, ("xyz", "xxy"): set()}
    assert once.texts == data.texts
    assert without_repeats(once) is once
    made, _ = mine_to(tmp_path / "out", Mining(data, BASE, MODEL), MinedFiles())
    written = [json.dumps(row) for row in lines(tmp_path / "out" / "train.jsonl")]
    assert len(written) == len(set(written)) == 4
    assert made["report"]["counts"]["rows"] == 2
    (item,) = made["read"]["left_out"]
    assert item == {"why": "repeats an earlier pair", "count": 2, "first": ["row 3", "row 4"]}


def test_planted_copies_are_repeats_though_their_texts_have_two_numbers() -> None:
    data = datasets.make("planted", rows=60, duplicate_rate=0.4, seed=2)()
    once = without_repeats(data)
    assert once.rows == 36
    assert found(once) == found(data)


def test_the_command_prints_and_keeps_what_was_left_out(tmp_path: Path) -> None:
    rows = 'anchor\tpositive\tsource\n"a ""cat"""\tcat sat\tx\nthe dog\t\tx\ndog\tdd\tx\n'
    path = put(tmp_path / "q.tsv", rows)
    corpus = put(tmp_path / "more.txt", "bird\tone\nfish\ttwo\n")
    out = tmp_path / "out"
    words = [str(path), "--sampler", "bm25", "-o", str(out), "--corpus", str(corpus)]
    wrong = mine_command(*words)
    assert "q.tsv, line 3: positive is blank" in str(wrong.exception)
    words += ["--read", "bad_rows=skip"]
    assert "cells have double quotes around them" in str(mine_command(*words).exception)
    words += ["--read", "quotes=double"]
    assert "lines have tabs" in str(mine_command(*words).exception)
    columns = ["--read-corpus", "delimiter=tab", "--read-corpus", "header=false"]
    assert "has no column 'text'" in str(mine_command(*words, *columns).exception)
    corpus.write_text("bird dog\nfish two\n\n")
    done = mine_command(*words)
    assert done.exit_code == 0, done.output
    for text in (
        "read 3 rows of q.tsv",
        "read 2 rows of more.txt",
        "left out 1: positive is blank (first: q.tsv, line 3)",
        "columns not read: source",
    ):
        assert text in done.stdout
        assert text in (out / "README.md").read_text()
    assert json.loads((out / "mined.json").read_text())["read"]["read"]["q.tsv"] == 3
    assert {row["anchor"] for row in lines(out / "train.jsonl")} <= {'a "cat"', "dog"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"docid": "1", "text": "a"}, {"docid": 1, "text": "b"}], "line 2: id occurs twice"),
        ([{"text": "a"}, {"text": " "}], "line 2: text is blank"),
        ([{"text": "a"}, {"text": 4}], "line 2: text must be text, got 4"),
        ([{"text": "a"}, {"text": "cut \ud83d"}], "line 2: text holds half of a surrogate pair"),
    ],
)
def test_a_corpus_is_read_with_the_same_care(tmp_path: Path, rows: list[Any], message: str) -> None:
    data = datasets.make("planted", rows=5)()
    path = put(tmp_path / "c.jsonl", rows)
    with pytest.raises(ValueError, match=message):
        with_corpus(data, path)
    more, documents = with_corpus(data, path, Reading(bad_rows="skip"))
    assert more.texts[-1] == "a"
    assert documents.tolist() == [len(data.texts)]
    assert more.report["left_out"][0]["count"] == 1
