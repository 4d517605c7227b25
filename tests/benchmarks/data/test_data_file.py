import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_data import beir, load, put, refused, told

from nsbench.benchmarks.data import datasets

PAIRS = [
    {"anchor": 'He said "hi", twice', "positive": "Two\ngreetings", "negative": "No, none"},
    {"anchor": "A dog barks", "positive": "A hound gives voice", "negative": "A cat sleeps"},
]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    """Rows in the format that the path's name asks for."""
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        if kind == "json":
            json.dump(rows, file, indent=1)
        elif kind in ("jsonl", "ndjson"):
            file.writelines(json.dumps(r) + "\n" for r in rows)
        else:
            table = csv.DictWriter(file, rows[0], delimiter="," if kind == "csv" else "\t")
            table.writeheader()
            table.writerows(rows)
    return path


# --- formats


@pytest.mark.parametrize(
    "kind",
    ["jsonl", "ndjson", "json", "csv", "parquet", "jsonl.gz", "ndjson.gz", "json.gz", "csv.gz"],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    data = load(write(tmp_path / f"x.{kind}", PAIRS))
    assert told(data) == [(r["anchor"], r["positive"], [r["negative"]]) for r in PAIRS]
    assert data.name == f"x.{kind}"
    assert data.revision.startswith("sha256:")
    assert data.meaning is None


def test_tsv_with_protecting_quotes_can_be_asked_for(tmp_path: Path) -> None:
    data = load(write(tmp_path / "x.tsv", PAIRS), quotes="double")
    assert told(data)[0] == (PAIRS[0]["anchor"], PAIRS[0]["positive"], [PAIRS[0]["negative"]])


def test_txt_is_one_text_a_line(tmp_path: Path) -> None:
    path = put(tmp_path / "x.txt", "\ufeffone, two\n\n  three \nthree\n")
    data = load(path)
    assert [a for a, _, _ in told(data)] == ["one, two", "three", "three"]
    assert (data.anchor == data.positive).all()
    assert data.texts == ("one, two", "three")


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "x.jsonl", PAIRS)
    assert load(Path("~/x.jsonl")).rows == 2


def test_the_revision_is_of_the_content(tmp_path: Path) -> None:
    one = load(write(tmp_path / "a.jsonl", PAIRS))
    same = load(write(tmp_path / "b.jsonl", PAIRS))
    other = load(write(tmp_path / "c.jsonl", PAIRS[:1]))
    assert one.revision == same.revision != other.revision


# --- layouts

NEGATIVES = {"anchor": "a", "positive": "p", "negative_2": "n2", "negative_10": "n10"}
PASSAGES = {
    "query_id": "1",
    "query": "q",
    "positive_passages": [{"docid": "d", "title": "T", "text": "body"}],
    "negative_passages": [{"docid": "e", "title": "", "text": "other"}],
}
NLI_ROWS = [
    ("p", "yes", "entailment"),
    ("p", "no", "contradiction"),
    ("p", "maybe", "neutral"),
    ("q", "also", "entailment"),
    ("q", "unclear", "-"),
    ("p", "not at all", "contradiction"),
    ("r", "two-way", "not_entailment"),
]
NLI = [{"premise": p, "hypothesis": h, "label": c} for p, h, c in NLI_ROWS]
SCORED = "sentence1,sentence2,score\na,b,4.5\nc,d,1\na,e,4\n"
RENAMED = {"anchor": "q", "positive": "good"}
NUMBERED = {"anchor": "2", "positive": "3"}


@pytest.mark.parametrize(
    ("name", "content", "given", "rows"),
    [
        (
            "numbered.jsonl",  # they keep their order
            [NEGATIVES | {"negative_1": "n1"}, NEGATIVES | {"negative_10": None}],
            {},
            [("a", "p", ["n1", "n2", "n10"]), ("a", "p", ["n2"])],
        ),
        (
            "list.jsonl",
            [{"anchor": "a", "positive": "b", "negatives": ["c", "d"]}],
            {},
            [("a", "b", ["c", "d"])],
        ),
        (
            "simcse.csv",
            "sent0,sent1,hard_neg\na,b,c\nd,e,\n",
            {},
            [("a", "b", ["c"]), ("d", "e", [])],
        ),
        ("tevatron.jsonl", [PASSAGES], {}, [("q", "T body", ["other"])]),
        ("nli.jsonl", NLI, {}, [("p", "yes", ["no", "not at all"]), ("q", "also", [])]),
        ("scored.csv", SCORED, {"min_score": 4}, [("a", "b", []), ("a", "e", [])]),
        ("unscored.jsonl", [{"sentence1": "a", "sentence2": "b"}], {}, [("a", "b", [])]),
        (
            "renamed.jsonl",  # the other columns are left out
            [{"q": "a", "good": "b", "negative": "c"}],
            {"columns": RENAMED},
            [("a", "b", [])],
        ),
        (
            "no-header.tsv",
            "src\ta\tb\nsrc\tc\td\n",
            {"header": False, "columns": NUMBERED},
            [("a", "b", []), ("c", "d", [])],
        ),
        (
            "quotes.tsv",  # they are characters
            'anchor\tpositive\n"Hi" she said\tgreeting\n"open\tb\n',
            {},
            [('"Hi" she said', "greeting", []), ('"open', "b", [])],
        ),
    ],
)
def test_layouts_give_their_rows(
    tmp_path: Path, name: str, content: Any, given: dict[str, Any], rows: list[Any]
) -> None:
    data = load(put(tmp_path / name, content), **given)
    assert told(data) == rows
    assert data.nli is None


def test_flag_embedding_makes_a_row_of_every_positive(tmp_path: Path) -> None:
    path = put(
        tmp_path / "x.jsonl",
        [{"query": "q", "pos": ["p1", "p2"], "neg": ["n1", "n2"]}, {"query": "r", "pos": ["s"]}],
    )
    data = load(path)
    assert told(data) == [("q", "p1", ["n1", "n2"]), ("q", "p2", ["n1", "n2"]), ("r", "s", [])]
    assert data.negatives[2].tolist() == [-1, -1]


def test_tevatron_by_document_ids(tmp_path: Path) -> None:
    corpus = put(
        tmp_path / "c.jsonl",
        [{"docid": "1", "document_text": "one"}, {"docid": 2, "document_text": "two"}],
    )
    row = {
        "query_id": "9",
        "query_text": "q",
        "positive_document_ids": ["1"],
        "negative_document_ids": ["2"],
    }
    path = put(tmp_path / "x.jsonl", [row])
    assert told(load(path, corpus=str(corpus))) == [("q", "one", ["two"])]
    assert "set corpus to the file with their texts" in refused(path)
    bad = put(tmp_path / "y.jsonl", [row | {"positive_document_ids": ["7"]}])
    assert refused(bad, corpus=str(corpus)) == (
        "y.jsonl, line 1: positive_document_ids has '7', which the corpus does not hold"
    )
    bad = put(tmp_path / "z.jsonl", [row | {"positive_document_ids": "1"}])
    assert "must be a list of document ids, got '1'" in refused(bad, corpus=str(corpus))
    wrong = put(tmp_path / "d.jsonl", [{"id": "1", "text": "one"}])
    assert "d.jsonl, line 1: has no 'docid'" in refused(path, corpus=str(wrong))


def test_nli_pairs_keep_the_class(tmp_path: Path) -> None:
    data = load(put(tmp_path / "x.jsonl", NLI), nli="pairs")
    assert data.nli.tolist() == [1, 0, 2, 1, 0]


def test_nli_numbers_need_their_names(tmp_path: Path) -> None:
    rows = [{"premise": "p", "hypothesis": "h", "label": 2}]
    path = put(tmp_path / "x.jsonl", rows)
    assert "label is the number 2; say what numbers mean with nli_labels" in refused(path)
    data = load(path, nli="pairs", nli_labels=["entailment", "neutral", "contradiction"])
    assert data.nli.tolist() == [0]


def test_scored_pairs_without_a_threshold_are_plain_texts(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "sentence1,sentence2,score\na,b,?\nc,a,1\n")
    data = load(path)
    assert [a for a, _, _ in told(data)] == ["a", "b", "c", "a"]
    assert (data.anchor == data.positive).all()


def test_labels_are_meanings(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "text,label\na,cat\nb,dog\nc,cat\nd,\n")
    data = load(path)
    assert data.meaning.tolist() == [0, 1, 0, -1]


def test_text_views_make_every_text_a_row(tmp_path: Path) -> None:
    data = load(write(tmp_path / "x.jsonl", PAIRS), views="text")
    assert [a for a, _, _ in told(data)] == [r[c] for r in PAIRS for c in ("anchor", "positive")]
    assert (data.anchor == data.positive).all()
    assert data.negatives.shape == (4, 0)


def test_limit_takes_the_first_rows_of_a_seeded_shuffle(tmp_path: Path) -> None:
    rows = [{"anchor": f"a{i}", "positive": f"p{i}", "negative": "n"} for i in range(50)]
    path = put(tmp_path / "x.jsonl", rows)
    whole = told(load(path))
    few, more, other = (told(load(path, limit=n, seed=s)) for n, s in ((5, 0), (9, 0), (5, 1)))
    assert few == more[:5]
    assert set(map(str, few)) <= set(map(str, whole))
    assert few != other
    assert len(load(path, limit=5).texts) == 11
    assert told(load(path, limit=50)) == whole


# --- BEIR


def scifact(folder: Path) -> Path:
    documents = [("d1", "T", "one"), ("d2", "", "two"), ("d3", "", "three"), ("d4", "Only", "")]
    corpus = [{"_id": i, "title": t, "text": x} for i, t, x in documents]
    queries = [{"_id": "q1", "text": "Q"}, {"_id": "q2", "text": "R"}]
    return beir(folder, corpus, queries, train="q1\td1\t1\nq1\td4\t2\nq1\td3\t0\n")


def test_beir_folder(tmp_path: Path) -> None:
    data = load(scifact(tmp_path / "scifact"))
    assert told(data) == [("Q", "T one", ["three"]), ("Q", "Only", ["three"])]
    assert data.name == "scifact"
    assert set(data.texts) == {"Q", "T one", "Only", "three", "two"}  # the corpus, to mine from


def test_beir_folder_keeps_its_corpus_when_limited(tmp_path: Path) -> None:
    data = load(scifact(tmp_path / "scifact"), limit=1)
    assert data.rows == 1
    assert len(data.texts) == 5


def test_beir_folder_may_be_packed(tmp_path: Path) -> None:
    folder = scifact(tmp_path / "scifact")
    plain = folder / "corpus.jsonl"
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert load(folder).rows == 2


def test_beir_folder_refusals(tmp_path: Path) -> None:
    folder = scifact(tmp_path / "s")
    judged = folder / "qrels" / "train.tsv"
    assert "has judgements for train" in refused(folder, split="test")
    for text, message in (
        ("query-id\tcorpus-id\tscore\nq9\td1\t1\n", "query-id 'q9' is not in the folder"),
        ("query-id\tcorpus-id\tscore\nq1\td9\t1\n", "corpus-id 'd9' is not in the folder"),
        ("query-id\tcorpus-id\tscore\nq1\td1\tx\n", "score must be a number, got 'x'"),
        ("q\td\ts\nq1\td1\t1\n", "qrels must have query-id, corpus-id and score"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t0\n", "names no relevant document"),
    ):
        judged.write_text(text, encoding="utf-8")
        assert message in refused(folder)
    put(folder / "queries.jsonl", [{"id": "q1", "text": "Q"}])
    assert "line 1: has no '_id'" in refused(folder)
    (folder / "queries.jsonl").unlink()
    assert refused(folder).startswith("there is no file s/queries.jsonl")


# --- refusals


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", PAIRS)
    assert refused(tmp_path / "trian.jsonl") == (
        "there is no file trian.jsonl. Did you mean 'train.jsonl'? Known: train.jsonl."
    )
    lost = tmp_path / "nowhere" / "x.jsonl"
    assert refused(lost) == "there is no file x.jsonl: its folder is missing or empty"


def test_check_finds_a_missing_corpus(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", PAIRS)
    assert "there is no file" in refused(path, corpus=str(tmp_path / "c.jsonl"))


@pytest.mark.parametrize("name", ["x.xlsx", "x", "x.pkl", "x.parquet.gz"])
def test_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    assert "its name must end in one of .csv, .json, .jsonl" in refused(put(tmp_path / name, b"x"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"x.{kind}", "\n" * n) for kind in ("jsonl", "json", "csv", "txt") for n in (0, 2)),
        ("x.csv", "anchor,positive\n"),
    ],
)
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert refused(put(tmp_path / name, content)) == f"{name} is empty: it has no row"


def test_unknown_columns_are_named_with_the_legal_layouts(tmp_path: Path) -> None:
    message = refused(put(tmp_path / "x.jsonl", [{"q": "a", "answer": "b"}]))
    assert message.startswith("x.jsonl: no layout fits the columns answer, q. Legal are: ")
    assert "Legal are: anchor, positive [, negative, negative_1, ...," in message
    assert "labels or score]; sent0, sent1 [, hard_neg]; query, pos [, neg]" in message
    assert "Rename with columns = {anchor = '...', positive = '...'}" in message


def test_a_renamed_column_must_exist(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jsonl", [{"question": "a", "answer": "b"}])
    assert refused(path, columns={"anchor": "questoin", "positive": "answer"}) == (
        "x.jsonl has no column 'questoin'. Did you mean 'question'? Known: answer, question."
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"text": "a"}\n{"text": }\n', "x.jsonl, line 2: not JSON: Expecting value"),
        ("x.jsonl", '{"text": "a"}\n[1]\n', "x.jsonl, line 2: a row must be an object, got list"),
        ("x.json", '[{"text": "a"},\n{"text"}]', "x.json, line 2: not JSON: Expecting ':'"),
        ("x.json", '{"text": "a"}\n{"text": "b"}', "Then call it .jsonl"),
        ("x.json", '{"text": "a"}', "x.json: must hold a list of rows, holds a dict"),
        ("x.csv", "text,label\na,1\nb\n", "x.csv, line 3: 1 cells where the first row has 2"),
        ("x.csv", 'text,label\n"a\nb",1\nc,2,3\n', "x.csv, line 4: 3 cells where the first row"),
        ("x.csv", 'text\n"a\n', "x.csv, line 2: unexpected end of data; if quotes are plain"),
        ("x.csv", 'text\n"a"b\n', "x.csv, line 2: ',' expected after '\"'; if quotes are plain"),
        ("x.csv", "text,text\na,b\n", "x.csv, line 1: two columns are called 'text'"),
        ("x.tsv", "text\na\tb\n", "x.tsv, line 2: 2 cells where the first row has 1"),
        ("x.jsonl", '{"text": "a"}\n{"text": 3}\n', "line 2: text must be text, got 3 (int)"),
        ("x.jsonl", '{"text": "a"}\n{"text": " "}\n', "line 2: text is blank"),
        ("x.jsonl", '{"text": "a"}\n{"txt": "b"}\n', "line 2: has no 'text'. Did you mean 'txt'?"),
        ("x.jsonl", '{"text": "a", "label": [1]}\n', "line 1: label must be one value, got [1]"),
        (
            "x.jsonl",
            '{"anchor": "a", "positive": "b", "negative": 5}',
            "line 1: negative must be text, got 5 (int)",
        ),
        (
            "x.jsonl",
            '{"query": "a", "pos": "b"}',
            "line 1: pos must be a list of texts, got 'b'",
        ),
        ("x.jsonl", '{"query": "a", "pos": []}', "none of them makes a training pair"),
        ("x.txt", b"caf\xe9\n", "x.txt is not UTF-8 text"),
        ("x.parquet", b"PAR1 no", "x.parquet cannot be read as parquet"),
        (
            "x.jsonl",
            '{"query": "a", "positive_passages": ["b"]}',
            "line 1: positive_passages must be a list of objects with a text",
        ),
        (
            "x.jsonl",
            '{"premise": "a", "hypothesis": "b", "label": "entails"}',
            "line 1: label is 'entails'. Did you mean 'entailment'?",
        ),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    assert message in refused(put(tmp_path / name, content))


def test_a_broken_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"one\n" * 1000)
    for content in (b"one\n", whole[: len(whole) // 2]):
        (tmp_path / "x.txt.gz").write_bytes(content)
        assert "x.txt.gz is not a whole gzip file" in refused(tmp_path / "x.txt.gz")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "x.jsonl").write_bytes(pickle.dumps(Bomb()))
    refused(tmp_path / "x.jsonl")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": ""}, "file: path must name a file or folder, got ''"),
        ({"columns": {"ancor": "q"}}, "file: a key of columns is 'ancor'. Did you mean 'anchor'?"),
        ({"columns": {"anchor": 1}}, "file: columns.anchor must be a column's name, got 1"),
        ({"nli": "tripl"}, "file: nli is 'tripl'"),
        ({"nli_labels": ["yes"]}, "file: nli_labels is 'yes'"),
        ({"min_score": "4"}, "file: min_score must be a number or left out, got '4'"),
        ({"quotes": "single"}, "file: quotes is 'single'"),
    ],
)
def test_impossible_parameters_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="file: ") as error:
        datasets.make("file", **{"path": "x.jsonl"} | given)
    assert message in str(error.value)
