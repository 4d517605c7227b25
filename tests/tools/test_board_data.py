"""Files of the boards: cut by hash, no test text in the training rows, the same bytes twice."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tools import board_data


def put(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for name, number in (("quora", 2400), ("mrpc", 900)):
        rows = [
            {"sentence1": f"{name} {i}", "sentence2": f"{name} {i % 400} b", "label": i % 2}
            for i in range(number)
        ]
        put(folder / "train" / f"{name}_pairs.jsonl.gz", rows)
    triplets = [{"anchor": f"a {i}", "positive": f"p {i}", "negative": f"n {i}"} for i in range(60)]
    put(folder / "train" / "nli_triplets.jsonl.gz", triplets)
    for split, number in (("train", 2500), ("test", 1800)):
        rows = [{"text": f"{split} {i}", "label": i % 77} for i in range(number)]
        put(folder / "banking77" / f"{split}.jsonl.gz", rows)
    judged = [{"query-id": f"q{i}", "corpus-id": i, "score": 1} for i in range(20)]
    put(folder / "scifact" / "qrels_train.jsonl.gz", judged[:12])
    put(folder / "scifact" / "qrels_test.jsonl.gz", judged[12:])
    put(folder / "scifact" / "queries.jsonl.gz", [{"_id": f"q{i}", "text": "?"} for i in range(20)])
    with gzip.open(folder / "train" / "brown.tsv.gz", "wt", encoding="utf-8") as out:
        out.writelines(f"ca\tHere are {i} or {i % 50} words\nca\tTitle\n" for i in range(300))
    documents = [{"_id": i, "title": f"t{i}", "text": f"d {i}"} for i in range(3000)]
    put(folder / "scifact" / "corpus.jsonl.gz", documents)
    return folder


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_no_text_of_a_test_is_trained_on(source: Path, tmp_path: Path) -> None:
    board_data.main([str(source), "--out", str(tmp_path)])
    pairs = tmp_path / "pairs"
    held = {
        row[side]
        for name in ("dev", "quora")
        for row in read(pairs / f"{name}.jsonl")
        for side in ("sentence1", "sentence2")
    }
    train = read(pairs / "train.jsonl")
    assert train
    assert not held & {row[side] for row in train for side in ("anchor", "positive")}
    assert {len(row["negatives"]) for row in train} == {0, 1}
    texts = {row["text"] for row in read(tmp_path / "classes" / "train.jsonl")}
    dev = read(tmp_path / "classes" / "dev.jsonl")
    assert not texts & {row["sentence1"] for row in dev}
    assert not texts & {row["sentence1"] for row in read(tmp_path / "classes" / "intents.jsonl")}


def test_batches_are_of_one_source_or_hold_no_intent_twice(source: Path, tmp_path: Path) -> None:
    board_data.main([str(source), "--out", str(tmp_path)])

    def batches(name: str) -> list[list[int]]:
        text = (tmp_path / name / "batches.txt").read_text("utf-8")
        return [[int(word) for word in line.split()] for line in text.splitlines()]

    labels = [row["label"] for row in read(tmp_path / "classes" / "train.jsonl")]
    apart = batches("classes")
    assert len(apart) > 5
    assert all(len({labels[row] for row in batch}) == board_data.BATCH for batch in apart)
    given = [bool(row["negatives"]) for row in read(tmp_path / "pairs" / "train.jsonl")]
    of_one = batches("pairs")
    assert all(len({given[row] for row in batch}) == 1 for batch in of_one)
    for rows in (apart, of_one):
        assert {len(batch) for batch in rows} == {board_data.BATCH}
        flat = [row for batch in rows for row in batch]
        assert len(flat) == len({*flat})


def test_graded_pairs_hold_right_and_wrong_ones_and_no_text_of_a_test(source: Path) -> None:
    cut = board_data.pairs(source)
    graded = cut["pairs/graded.jsonl"]
    held = {r[s] for r in cut["pairs/dev.jsonl"] for s in ("sentence1", "sentence2")}
    assert not held & {r[s] for r in graded for s in ("sentence1", "sentence2")}
    right = {(r["sentence1"], r["sentence2"]) for r in graded if r["score"] == 1.0}
    assert right == {(r["anchor"], r["positive"]) for r in cut["pairs/train.jsonl"]}
    wrong = [r for r in graded if r["score"] == 0.0]
    assert {r["sentence2"][:1] for r in wrong} >= {"n", "m"}


def test_pairs_of_one_label_and_of_two_are_what_they_say(source: Path) -> None:
    cut = board_data.classes(source)
    label = {f"{s} {i}": i % 77 for s in ("train", "test") for i in range(2500)}
    for row in cut["classes/intents.jsonl"]:
        assert (label[row["sentence1"]] == label[row["sentence2"]]) == bool(row["label"])
    assert {row["label"] for row in cut["classes/intents.jsonl"]} == {0, 1}


def test_general_text_holds_every_sentence_once_and_no_headings(source: Path) -> None:
    (rows,) = board_data.sentences(source).values()
    texts = [row["text"] for row in rows]
    assert len(texts) == len({*texts}) == 300
    assert all(text.startswith("Here are") for text in texts)


def test_short_sentences_are_half_entailment_and_half_questions(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_data, "SENTENCES", 80)
    assert board_data.short(source) == {"texts/short.jsonl": []}  # all have fewer than five words
    monkeypatch.setattr(board_data, "SHORTEST", 2)
    (rows,) = board_data.short(source).values()
    texts = [row["text"] for row in rows]
    assert len({*texts}) == 80
    assert sum(text.startswith("quora") for text in texts) == 40


def test_the_corpus_holds_every_judged_document(source: Path) -> None:
    cut = board_data.retrieval(source)
    ids = {row["_id"] for row in cut["retrieval/corpus.jsonl"]}
    assert len(ids) == board_data.DOCUMENTS
    assert {str(i) for i in range(20)} <= ids


def test_the_same_source_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        board_data.main([str(source), "--out", str(tmp_path / name)])
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*sv*"))
    files += sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.jsonl"))
    files += sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.txt"))
    assert files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"quora_pairs\.jsonl\.gz once, it holds it 0 times"):
        board_data.main([str(tmp_path)])
