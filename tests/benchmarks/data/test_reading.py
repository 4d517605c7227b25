"""One reader for all: bad rows, keys that come twice, columns that matter, damaged files."""

import csv
import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import beir, load, put, refused, told

from nsbench.benchmarks.data import TrainingData, _records, _rows, _tables, datasets
from nsbench.benchmarks.data._reading import Reading, Report, RowError, parse_reading, sentences
from nsbench.benchmarks.data._records import records
from nsbench.benchmarks.records.cell import Cell, Choice, resolve
from nsbench.benchmarks.records.local_task import LocalTask

QUICK = settings(max_examples=60)


def left_out(data: TrainingData) -> dict[str, int]:
    return {item["why"]: item["count"] for item in data.report["left_out"]}


# --- one policy for bad rows

GOOD = {
    "pairs": {"anchor": "a", "positive": "b"},
    "simcse": {"sent0": "a", "sent1": "b"},
    "flag": {"query": "a", "pos": ["b"]},
    "tevatron": {"query": "a", "positive_passages": [{"docid": "1", "text": "b"}]},
    "nli": {"premise": "a", "hypothesis": "b", "label": "entailment"},
    "snli": {"sentence1": "a", "sentence2": "b", "gold_label": "entailment"},
    "sentences": {"sentence1": "a", "sentence2": "b"},
    "texts": {"text": "a", "label": "x"},
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("bad", ["null", "blank", "number", "half", "misspelt"])
def test_a_bad_row_is_an_error_with_its_line_or_is_counted(
    tmp_path: Path, name: str, bad: str
) -> None:
    good = GOOD[name]
    column = next(iter(good))
    wrong = {"null": None, "blank": "  ", "number": 5, "half": "cut \ud83d"}
    row = dict(good) | {column: wrong.get(bad)}
    if bad == "misspelt":
        row = {(f"{k}x" if k == column else k): v for k, v in good.items()}
    path = put(tmp_path / "x.jsonl", [good, row, good])
    assert refused(path).startswith("x.jsonl, line 2: ")
    data = load(path, bad_rows="skip")
    assert data.rows == 2
    (item,) = data.report["left_out"]
    assert (item["count"], item["first"]) == (1, ["x.jsonl, line 2"])
    assert data.report["read"] == {"x.jsonl": 3}
    assert set(data.texts) == {"a", "b"} - ({"b"} if name == "texts" else set())


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("x.jsonl", '{"text": "a"}\n{"text": }\n[1]\n{"text": "b"}\n', 2),
        ("x.json", '[{"text": "a"}, 3, {"text": "b"}]', 1),
        ("x.csv", "text,n\na,1\nc\nb,2\nd,1,2\n", 2),
        ("x.jsonl", '{"text": "a"}\n{"text": "c", "text": "d"}\n{"text": "b"}\n', 1),
    ],
)
def test_rows_that_are_no_rows_are_left_out_by_the_same_policy(
    tmp_path: Path, name: str, content: str, count: int
) -> None:
    path = put(tmp_path / name, content)
    refused(path)
    data = load(path, bad_rows="skip")
    assert data.texts == ("a", "b")
    assert sum(left_out(data).values()) == count


def test_nothing_but_bad_rows_is_refused_with_the_reasons(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jsonl", [{"text": " "}, {"text": None}])
    message = refused(path, bad_rows="skip")
    assert "none of them makes a training pair: text is blank (1); text must be text (1)" in message


def test_a_report_names_three_places_and_all_counts() -> None:
    report = Report("skip")
    for line in range(5):
        report.refuse(RowError(f"/home/x.csv, line {line}", "text is blank"))
    report.count("x.csv")
    assert list(sentences(report.plain())) == [
        "read 1 rows of x.csv",
        "left out 5: text is blank (first: x.csv, line 0; x.csv, line 1; x.csv, line 2)",
    ]
    error = pickle.loads(pickle.dumps(RowError("x, line 1", "is blank", "!", "blank")))
    assert (str(error), error.kind) == ("x, line 1: is blank!", "blank")


# --- keys that come twice


ASKED = [{"_id": "q", "text": "Q"}, {"_id": "r", "text": "R"}]
ONE, OTHER = {"_id": "1", "text": "one"}, {"_id": 1, "text": "other"}


@pytest.mark.parametrize(
    ("documents", "judged", "queries", "message"),
    [
        ([ONE, OTHER], "q\t1\t1\n", ASKED, "corpus.jsonl, line 2: _id occurs twice"),
        (
            [ONE],
            "q\t1\t1\n",
            [{"_id": "q", "text": "Q"}, {"_id": "q", "text": "P"}],
            "queries.jsonl, line 2: _id occurs twice",
        ),
        ([ONE], "q\t1\t1\nq\t1\t0\n", ASKED, "train.tsv, line 3: pair of query-id and corpus-id"),
    ],
)
def test_a_key_with_two_values_names_both_lines(
    tmp_path: Path, documents: list[Any], judged: str, queries: Any, message: str
) -> None:
    folder = beir(tmp_path / "s", documents, queries, train=judged)
    found = refused(folder)
    assert message in found
    first = "line 2" if "train" in message else "line 1"
    assert found.endswith(first), found  # the place of the first
    data = load(folder, bad_rows="skip")
    assert told(data) == [("Q", "one", [])]
    assert sum(left_out(data).values()) == 1


def test_a_key_that_repeats_its_value_is_counted_and_no_error(tmp_path: Path) -> None:
    folder = beir(tmp_path / "s", [ONE, ONE], ASKED, train="q\t1\t1\nq\t1\t1\n")
    data = load(folder)
    assert told(data) == [("Q", "one", [])]
    assert sum(left_out(data).values()) == 2


def test_documents_of_a_corpus_file_are_keyed_too(tmp_path: Path) -> None:
    docs = [{"docid": "1", "text": "one"}, {"docid": "2", "text": "two"}, {"docid": 1, "text": "z"}]
    corpus = put(tmp_path / "docs.jsonl", docs)
    path = put(tmp_path / "x.jsonl", [{"query_text": "q", "positive_document_ids": ["1"]}])
    message = refused(path, corpus=str(corpus))
    assert message.startswith("docs.jsonl, line 3: docid occurs twice with different values: '1'")
    assert message.endswith("docs.jsonl, line 1")
    assert told(load(path, corpus=str(corpus), bad_rows="skip")) == [("q", "one", [])]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["x", "y"])), min_size=1))
@QUICK
def test_the_first_of_a_key_is_kept_whatever_comes_later(
    tmp_path: Path, rows: list[tuple[int, str]]
) -> None:
    first: dict[str, str] = {}
    for key, text in rows:
        first.setdefault(str(key), text)
    documents = [{"_id": key, "text": text} for key, text in rows]
    folder = beir(tmp_path / "s", documents, ASKED, train=f"q\t{rows[0][0]}\t1\n")
    data = load(folder, bad_rows="skip")
    assert told(data) == [("Q", rows[0][1], [])]
    assert sum(left_out(data).values()) == len(rows) - len(first)
    if any(first[str(key)] != text for key, text in rows):
        assert "occurs twice with different values" in refused(folder)
    else:
        load(folder)


def test_judgements_of_documents_that_are_missing_can_be_skipped(tmp_path: Path) -> None:
    folder = beir(
        tmp_path / "s", [ONE, {"_id": "2", "text": ""}], ASKED, train="q\t1\t1\nq\t9\t1\nr\t2\t1\n"
    )
    assert "corpus.jsonl, line 2: text is blank" in refused(folder)
    data = load(folder, bad_rows="skip")
    assert told(data) == [("Q", "one", [])]
    assert left_out(data) == {"text is blank": 1, "corpus-id is not in the folder": 2}


def test_ids_are_kept(tmp_path: Path) -> None:
    data = load(beir(tmp_path / "s", [ONE, {"_id": "x7", "text": "two"}], ASKED, train="r\t1\t1\n"))
    assert data.document_ids == {"one": "1", "two": "x7"}
    assert data.query_ids == {"Q": "q", "R": "r"}


# --- columns that change what a row means


def test_labels_of_pairs_make_positives_and_negatives(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "anchor,positive,label\na,b,1\na,c,0\nd,b,0\na,e,1\na,b,1\n")
    data = load(path)
    assert told(data) == [("a", "b", ["c"]), ("a", "e", ["c"]), ("a", "b", ["c"])]
    assert left_out(data) == {"label 0, and the anchor has no positive": 1}
    plain = put(tmp_path / "y.csv", "anchor,positive\na,b\na,e\n")
    same = put(tmp_path / "z.csv", "anchor,positive,label\na,b,1\na,e,true\n")
    assert load(plain).digest == load(same).digest
    put(path, "anchor,positive,label\na,b,1\na,b,0\n")
    assert "x.csv, line 3: pair of texts occurs twice with different values" in refused(path)
    put(path, "anchor,positive,label\na,b,2\n")
    assert refused(path) == "x.csv, line 2: label must be 0 or 1, got '2'"


def test_scores_of_pairs_need_a_threshold(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "anchor,positive,score\na,b,0.9\nc,d,0.0\n")
    assert "say with min_score from which score on a pair is a positive" in refused(path)
    data = load(path, min_score=0.5)
    assert told(data) == [("a", "b", [])]
    assert left_out(data) == {"score below min_score": 1}


def test_lists_with_labels_are_read(tmp_path: Path) -> None:
    row = {"anchor": "a", "positive": ["b", "c"], "labels": [1, 0]}
    assert told(load(put(tmp_path / "x.jsonl", [row]))) == [("a", "b", ["c"])]
    bad = put(tmp_path / "y.jsonl", [row | {"labels": [1]}])
    assert "line 1: labels must be a list with a 0 or 1 for each text" in refused(bad)


def test_contradictions_of_snli_are_negatives(tmp_path: Path) -> None:
    pairs = [("b", "entailment"), ("c", "contradiction"), ("d", "neutral"), ("e", "-")]
    rows = [
        {"sentence1": "a", "sentence2": b, "gold_label": label, "annotator_labels": [label]}
        for b, label in pairs
    ]
    data = load(put(tmp_path / "x.jsonl", rows))
    assert told(data) == [("a", "b", ["c"])]
    assert sum(left_out(data).values()) == 2


BASES = {k: v for k, v in GOOD.items() if k != "texts"}


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(
    "column",
    ["gold_label", "similarity_score", "is_duplicate", "hardNegatives", "relevance", "positives"],
)
def test_a_column_that_may_change_the_meaning_is_refused(
    tmp_path: Path, name: str, column: str
) -> None:
    if column in BASES[name]:
        return
    row = BASES[name] | {column: "x"}
    whole = put(tmp_path / "x.jsonl", [row])
    message = refused(whole)
    if {column, *BASES[name]} == set(GOOD["snli"]):
        assert "label is 'x'" in message  # it is read, and has no such class
        return
    assert f"line 1: the column {column!r} may change what a row means" in message
    later = put(tmp_path / "y.jsonl", [BASES[name], row])
    assert f"y.jsonl, line 2: the column {column!r}" in refused(later)
    named = {c: c for c in BASES[name]}
    assert load(whole, columns=named).rows == 1  # the caller says what to read


def test_misspelt_columns_are_refused_and_others_are_listed(tmp_path: Path) -> None:
    row = {"text": "a", "lable": "x", "source": "web"}
    assert "(is it 'label'?)" in refused(put(tmp_path / "x.jsonl", [row]))
    data = load(put(tmp_path / "y.jsonl", [{"text": "a", "source": "web", "label_text": "b"}]))
    assert data.report["columns_not_read"] == ["label_text", "source"]


def test_a_query_without_positives_is_counted(tmp_path: Path) -> None:
    rows = [{"query": "q", "pos": ["p"]}, {"query": "r", "pos": []}, {"query": "s"}]
    assert refused(put(tmp_path / "x.jsonl", rows)) == (
        "x.jsonl, line 3: has no 'pos'. Known: query."
    )
    data = load(put(tmp_path / "y.jsonl", rows[:2]))
    assert left_out(data) == {"a query without a positive": 1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_score": 1.0}, "min_score = 1.0 is set, but rows of text [, label] do not read it"),
        ({"nli": "pairs"}, "nli = 'pairs' is set"),
        ({"split": "test"}, "split = 'test' is of BEIR folders only"),
        ({"header": False}, "only csv, tsv and txt files have a header option"),
        ({"quotes": "none"}, "only csv, tsv and txt files have a quotes option"),
    ],
)
def test_an_option_that_is_not_read_is_refused(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    assert message in refused(put(tmp_path / "x.jsonl", [{"text": "a"}]), **given)
    folder = beir(tmp_path / "s", [ONE], ASKED, train="q\t1\t1\n")
    if set(given) & {"header", "quotes", "min_score"}:
        assert "is a BEIR folder, whose files are laid out in one way" in refused(folder, **given)


# --- labels


def test_no_label_is_no_class(tmp_path: Path) -> None:
    rows = [("one", "a"), ("two", None), ("three", float("nan")), ("four", " a "), ("five", " ")]
    rows += [("six", "1"), ("seven", 1), ("eight", 1.0)]  # type: ignore[list-item]
    path = put(tmp_path / "x.jsonl", [{"text": t, "label": x} for t, x in rows])
    data = load(path)
    assert data.meaning.tolist() == [0, -1, -1, 0, -1, 1, 1, 1]


def test_two_labels_of_one_text_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "text,label\na,x\nb,x\na,\na,y\na,x\n")
    message = refused(path)
    assert message == "x.csv, line 5: the text has two labels: 'y' here, 'x' in x.csv, line 2"
    data = load(path, bad_rows="skip")
    assert data.meaning.tolist() == [0, 0]
    assert data.rows == 4


# --- tables and texts


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl"])
def test_long_cells_are_read(tmp_path: Path, name: str) -> None:
    long = "word " * 40_000 + "end"
    row = {"anchor": long, "positive": "b"}
    content: Any = [row]
    if name != "x.jsonl":
        sign = "," if name == "x.csv" else "\t"
        content = f"anchor{sign}positive\n{long}{sign}b\n"
    assert told(load(put(tmp_path / name, content))) == [(long, "b", [])]


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "LONGEST_LINE", 50)
    for name in ("x.csv", "x.tsv", "x.jsonl", "x.txt"):
        path = put(tmp_path / name, "text\n" + 60 * "a")
        message = refused(path)
        if name != "x.jsonl":  # there, line 1 is no JSON
            assert message == f"{name}, line 2: has more than 50 characters"


@pytest.mark.parametrize(
    ("quoting", "rows"),
    [
        (csv.QUOTE_MINIMAL, [('He said "stop" twice.', "He said stop."), ("A cart.", "A boat.")]),
        (csv.QUOTE_ALL, [("one", "two"), ("three", "four")]),
        (csv.QUOTE_ALL, [('7" pipe', "a pipe"), ("three", "four")]),
    ],
)
def test_a_tsv_file_with_protecting_quotes_is_not_taken_for_another(
    tmp_path: Path, quoting: int, rows: list[tuple[str, str]]
) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter="\t", quoting=quoting).writerows([("sent0", "sent1"), *rows])  # type: ignore[arg-type]
    path = put(tmp_path / "x.tsv", buffer.getvalue())
    message = (
        refused(path, columns={"anchor": '"sent0"', "positive": '"sent1"'})
        if (quoting == csv.QUOTE_ALL)
        else refused(path)
    )
    assert 'set quotes = "double" if these protect the cells, or quotes = "none"' in message
    assert told(load(path, quotes="double")) == [(a, b, []) for a, b in rows]


@pytest.mark.parametrize(
    "line",
    [
        '7" pipe\ta pipe',
        'the 7" pipe\t"so called"',
        '"Yes," she said\tYes',
        '"open\tb',
        'a, b\t"c"',
    ],
)
def test_quotes_in_tsv_texts_are_characters(tmp_path: Path, line: str) -> None:
    more = "".join(f"plain, {i}\tother {i}\n" for i in range(4))
    path = put(tmp_path / "x.tsv", f"sent0\tsent1\n{line}\n{more}")
    a, b = line.split("\t")
    assert told(load(path))[0] == (a, b, [])
    assert load(path).digest == load(path, quotes="none").digest


def test_inch_signs_in_csv_can_be_read(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", 'sent0,sent1\nplain,text\n"7" pipe,a pipe\n')
    assert 'set quotes = "none"' in refused(path)
    assert told(load(path, quotes="none"))[1] == ('"7" pipe', "a pipe", [])


def test_txt_with_tabs_is_refused_or_read_by_columns(tmp_path: Path) -> None:
    path = put(tmp_path / "x.txt", "one two\tthree\t1\nfour\tfive six\t0\n")
    assert "2 of 2 lines have tabs, so it is no list of texts" in refused(path)
    columns = {"sentence1": "1", "sentence2": "2", "label": "3"}
    data = load(path, delimiter="tab", header=False, columns=columns, min_score=1)
    assert told(data) == [("one two", "three", [])]
    assert "but a txt file is one text a line unless delimiter is set" in refused(
        path, header=False
    )
    few = put(tmp_path / "y.txt", "".join(f"text {i}\n" for i in range(9)) + "with\ttab\n")
    assert load(few).rows == 10


def test_ragged_rows_can_be_allowed(tmp_path: Path) -> None:
    path = put(tmp_path / "x.tsv", "a\tb\t1\nc\td\t0\textra\te\n")
    given: dict[str, Any] = {
        "header": False,
        "columns": {"sentence1": "1", "sentence2": "2", "score": "3"},
        "min_score": 0.0,
    }
    assert refused(path, **given) == "x.tsv, line 2: 5 cells where the first row has 3"
    data = load(path, ragged="allow", **given)
    assert told(data) == [("a", "b", []), ("c", "d", [])]
    assert left_out(data) == {"cells beyond those of the first row": 1}


def test_delimiter_and_encoding_can_be_said(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", "anchor;positive\ncafé;tea, green\n".encode("cp1252"))
    assert "is not UTF-8 text" in refused(path, delimiter=";")
    assert told(load(path, delimiter=";", encoding="cp1252")) == [("café", "tea, green", [])]
    wide = put(tmp_path / "y.jsonl", '{"text": "café"}\n'.encode("utf-16"))
    assert load(wide, encoding="utf-16").texts == ("café",)
    assert "is not UTF-16 text" in refused(path, encoding="utf-16")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["header=false", "quotes=single"], "quotes is 'single'"),
        (["header=no"], "header must be true or false, got 'no'"),
        (["delimiter=ab"], "delimiter must be auto, tab or one character, got 'ab'"),
        (["encoding=zip"], "encoding must be one that Python knows"),
        (["encoding=base64"], "encoding must be one that Python knows"),
        (["ragged=cut"], "ragged is 'cut'"),
        (["bad_rows=drop"], "bad_rows is 'drop'"),
        (["headr=false"], "there is no option 'headr'. Did you mean 'header'?"),
        (["header"], "cannot read 'header'"),
        (["header=true", "header=false"], "header is given twice"),
    ],
)
def test_wrong_options_are_refused_by_name(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="--read: ") as error:
        parse_reading(words, "--read")
    assert message in str(error.value)


def test_options_of_a_command_line_are_read() -> None:
    found = parse_reading(["header=false", "delimiter=tab", "bad_rows=skip"], "--read")
    assert found == Reading(header=False, delimiter="tab", bad_rows="skip")


# --- damaged and hostile files


def test_nesting_big_numbers_and_repeated_keys_are_one_sentence(tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    for content, words in (
        (f'{{"text": {deep}}}', "nested too deeply"),
        ('{"text": ' + "9" * 5000 + "}", "not JSON that can be read"),
        ('{"text": "a", "text": "b"}', "the key 'text' occurs twice in one object"),
        (f'{{"text": {"[" * 400}{"]" * 400}}}', "text must be text"),
    ):
        assert words in refused(put(tmp_path / "x.jsonl", content))
        assert words in refused(put(tmp_path / "x.json", f"[{content}]"))


def test_a_packed_file_cannot_grow_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = json.dumps({"text": "a" * 1000}) + "\n"
    packed = put(tmp_path / "x.jsonl.gz", gzip.compress(row.encode() * 3000))
    assert load(packed).rows == 3000
    monkeypatch.setattr(_records, "SAFE_BYTES", 1 << 16)
    assert "unpacks to more than 200 times its size" in refused(packed)
    plain = "\n".join(json.dumps({"text": f"text {i}"}) for i in range(10_000))
    assert load(put(tmp_path / "y.jsonl.gz", gzip.compress(plain.encode()))).rows == 10_000


@given(st.integers(0, 10_000), st.integers(1, 255), st.integers(0, 10_000))
@QUICK
def test_a_damaged_parquet_file_is_one_sentence_or_read(
    tmp_path: Path, place: int, change: int, cut: int
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(50)]}), path)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    path.write_bytes(content[: max(1, len(content) - cut % 40)])
    said = ""
    try:
        load(path)
    except ValueError as error:
        said = str(error)
    assert not said or said.startswith(str(path))
    assert "\n" not in said


def test_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "x.parquet")
    assert refused(tmp_path / "x.parquet") == "x.parquet: two columns are called 'text'"


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(ValueError, match="is no file: it is a folder, a pipe or a device"):
        next(records(tmp_path / "x.jsonl"))


# --- keys of cells


def test_new_options_at_their_defaults_leave_keys_as_they_were(tmp_path: Path) -> None:
    choice = resolve(datasets, "file", {"path": "x.jsonl"})
    assert set(choice.params) == {
        *("path", "columns", "min_score", "nli", "nli_labels", "corpus", "split", "header"),
        *("quotes", "views", "limit", "seed"),
    }
    assert resolve(datasets, "file", {"path": "x.jsonl", "bad_rows": "error"}) == choice
    other = resolve(datasets, "file", {"path": "x.jsonl", "bad_rows": "skip"})
    assert other.params["bad_rows"] == "skip"
    assert str(other) == "file(bad_rows=skip, path=x.jsonl)"
    assert set(LocalTask("t", "sts", "x.csv").plain()) == {
        *("name", "kind", "path", "columns", "split", "train", "header", "digest")
    }
    assert LocalTask("t", "sts", "x.csv", quotes="none").plain()["quotes"] == "none"
    assert isinstance(choice, Choice)
    assert Cell.plain  # the key is made of both


# --- more of the same kinds


@pytest.mark.parametrize("column", ["label", "score"])
@pytest.mark.parametrize("names", [("anchor", "positive"), ("sentence1", "sentence2")])
def test_a_row_without_the_column_that_others_have_is_no_positive(
    tmp_path: Path, names: tuple[str, str], column: str
) -> None:
    one, two = ({names[0]: f"a{i}", names[1]: f"b{i}"} for i in range(2))
    given = {} if (column, names[0]) == ("label", "anchor") else {"min_score": 0.5}
    for rows in ([one | {column: 1}, two], [one, two | {column: 1}]):
        message = refused(put(tmp_path / "x.jsonl", rows), **given)
        assert "to say whether the pair belongs together" in message or "no score" in message
    path = put(tmp_path / "x.jsonl", [one | {column: 1}, two])
    data = load(path, bad_rows="skip", **given)
    assert told(data) == [("a0", "b0", [])]
    table = put(tmp_path / "x.csv", f"{names[0]},{names[1]},{column}\na,b,1\nc,d\n")
    assert "x.csv, line 3" in refused(table, ragged="allow", **given)


def test_a_table_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    folder = beir(tmp_path / "s", [ONE], ASKED, train="q\t1\t1\n")
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(b'{"_id": "1", "text": "other"}\n'))
    assert refused(folder) == "s has both corpus.jsonl and corpus.jsonl.gz: remove one of them"


@pytest.mark.parametrize("score", ["inf", "nan", "", "high"])
def test_a_judgement_must_be_a_number(tmp_path: Path, score: str) -> None:
    folder = beir(tmp_path / "s", [ONE], ASKED, train=f"q\t1\t1\nr\t1\t{score}\n")
    assert "train.tsv, line 3: score must be" in refused(folder)
    assert load(folder, bad_rows="skip").rows == 1


def test_a_document_with_a_title_needs_no_text(tmp_path: Path) -> None:
    folder = beir(tmp_path / "s", [{"_id": "1", "title": "one"}], ASKED, train="q\t1\t1\n")
    assert told(load(folder)) == [("Q", "one", [])]


def test_a_threshold_needs_scores(tmp_path: Path) -> None:
    for row in ({"sentence1": "a", "sentence2": "b"}, {"anchor": "a", "positive": "b"}):
        path = put(tmp_path / "x.jsonl", [row])
        message = "x.jsonl, line 1: min_score is 0.5, but the row has no score"
        assert refused(path, min_score=0.5) == message


def test_half_a_character_in_a_key_or_an_id_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jsonl", '{"text": "a", "more \\ud83d": 1}\n')
    assert "a key holds half of a surrogate pair" in refused(path)
    folder = beir(tmp_path / "s", [{"_id": "1\ud83d", "text": "a"}], ASKED, train="q\t1\t1\n")
    assert "_id holds half of a surrogate pair" in refused(folder)


@pytest.mark.parametrize("key", [None, True, " ", ["1"], "a\tb"])
def test_a_key_must_be_a_text_or_a_number(tmp_path: Path, key: Any) -> None:
    folder = beir(tmp_path / "s", [ONE, {"_id": key, "text": "a"}], ASKED, train="q\t1\t1\n")
    assert "corpus.jsonl, line 2: _id " in refused(folder)
    assert load(folder, bad_rows="skip").rows == 1


def test_a_header_in_words_is_refused_with_the_right_spelling(tmp_path: Path) -> None:
    path = put(tmp_path / "x.tsv", "a\tb\n")
    message = "file: header must be true or false, got 'false'; in name[parameter=value], write "
    assert refused(path, header="false") == message + "False"


def test_the_report_is_part_of_the_record(tmp_path: Path) -> None:
    from nsbench.benchmarks.data._describe import describe_data

    data = load(put(tmp_path / "x.jsonl", [{"text": "a"}, {"text": " "}]), bad_rows="skip")
    assert describe_data(data)["report"] == {
        "bad_rows": "skip",
        "read": {"x.jsonl": 2},
        "left_out": [{"why": "text is blank", "count": 1, "first": ["x.jsonl, line 2"]}],
        "columns_not_read": [],
    }
    assert load(tmp_path / "x.jsonl", bad_rows="skip", limit=1).report == data.report
    assert "report" not in describe_data(datasets.make("planted", rows=5)())


def test_more_given_negatives_than_can_be_held_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"query": "q", "pos": [f"p{i}" for i in range(9)], "neg": [f"n{i}" for i in range(9)]}
    path = put(tmp_path / "x.jsonl", [row])
    assert load(path).negatives.shape == (9, 9)
    monkeypatch.setattr(_rows, "MOST_NEGATIVES", 80)
    assert "9 rows with up to 9 given negatives each are too many" in refused(path)


MARKED = ["utf-8", "utf8", "U8", "utf_8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le"]


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", '"anchor",positive\ncafé,tea\n'),
        ("x.tsv", "anchor\tpositive\ncafé\ttea\n"),
        ("x.jsonl", '{"anchor": "café", "positive": "tea"}\n'),
        ("x.json", '[{"anchor": "café", "positive": "tea"}]'),
        ("x.txt", "café\ntea\n"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_a_text(
    tmp_path: Path, name: str, content: str, encoding: str
) -> None:
    plain = encoding.removesuffix("-sig")
    marked = put(tmp_path / name, ("\ufeff" + content).encode(plain))
    packed = put(tmp_path / f"{name}.gz", gzip.compress(marked.read_bytes()))
    for path in (marked, packed):
        assert sorted(load(path, encoding=encoding).texts) == ["café", "tea"]


@pytest.mark.parametrize("unseen", ["\u200b", "\ufeff", " \u200d\u2060 ", "\x07", "\u00ad\ufe0f"])
def test_a_text_in_which_nothing_is_seen_is_blank(tmp_path: Path, unseen: str) -> None:
    path = put(tmp_path / "x.jsonl", [{"anchor": "a", "positive": "b"}, {"anchor": unseen}])
    assert "line 2: anchor is blank" in refused(path)
    assert load(put(tmp_path / "y.txt", f"a\n{unseen}\nb\n")).texts == ("a", "b")
    emoji = "\U0001f469\u200d\U0001f4bb"
    assert load(put(tmp_path / "z.txt", f"{emoji}\n")).texts == (emoji,)


def test_a_nul_character_is_refused_with_what_it_is_a_sign_of(tmp_path: Path) -> None:
    wide = put(tmp_path / "x.txt", "hello\nworld\n".encode("utf-16-le"))
    assert "line 1: text holds a NUL character at 2; is the file UTF-16?" in refused(wide)
    assert load(wide, encoding="utf-16-le").texts == ("hello", "world")
    path = put(tmp_path / "x.jsonl", [{"text": "a"}, {"text": "b\0c"}])
    assert left_out(load(path, bad_rows="skip")) == {"text holds a NUL character": 1}


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("a;b\n".encode("utf-16"), 'it begins as UTF-16 does: set encoding = "utf-16"'),
        (gzip.compress(b"a,b\n", mtime=0), "it begins as a gzip file does"),
        (b"\xe9,b\n", "set encoding to the one that it has"),
    ],
)
def test_a_file_of_another_kind_is_named_by_its_first_bytes(
    tmp_path: Path, content: bytes, hint: str
) -> None:
    assert hint in refused(put(tmp_path / "x.csv", content))


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("anchor;positive\na;b\n", "There is one column: set delimiter = ';'"),
        ('anchor;positive\n"a";"b"\n', ". There is one column: set delimiter = ';'"),
        ("anchor;positive\na, b;c\n", ". There is one column: set delimiter = ';'"),
        ("anchor\tpositive\na\tb\n", "There is one column: set delimiter = 'tab'"),
        ("Anchor, positive\na,b\n", "columns = {anchor = 'Anchor', positive = ' positive'}"),
    ],
)
def test_a_header_that_is_nearly_right_has_a_hint(tmp_path: Path, content: str, hint: str) -> None:
    assert hint in refused(put(tmp_path / "x.csv", content))


@pytest.mark.parametrize(
    "column",
    [
        *({name: "x"} for name in ("y", "gt", "same_meaning", "irrelevant", "contradiction")),
        *({name: "x"} for name in ("nonrelevant", "isDuplicate", "wrong_answer", "cos")),
        *({"extra": value} for value in (True, False, 0.25, "0.25", "true", ["c"])),
    ],
)
def test_names_and_values_tell_of_columns_that_change_a_row(
    tmp_path: Path, column: dict[str, Any]
) -> None:
    pair = {"anchor": "a", "positive": "b"}
    path = put(tmp_path / "x.jsonl", [pair | column])
    assert f"the column {next(iter(column))!r} may change what a row means" in refused(path)
    assert load(path, columns={"anchor": "anchor", "positive": "positive"}).rows == 1
    harmless = {"id": 0, "year": 2.0, "source": "web", "url": None, "tags": [], "": "7"}
    assert load(put(tmp_path / "y.jsonl", [pair | harmless])).rows == 1


def test_rows_before_the_first_with_a_layout_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = [{"query": "a"}, {"qurey": "b", "pos": ["c"]}, {"query": "a", "pos": ["b"]}]
    path = put(tmp_path / "x.jsonl", rows)
    assert "no layout fits the columns query" in refused(path)
    data = load(path, bad_rows="skip")
    assert (data.rows, left_out(data)) == (1, {"has none of the layouts": 2})
    assert "no layout fits" in refused(put(path, rows[:2]), bad_rows="skip")


@pytest.mark.parametrize("score", [True, "1_0", "nan", None, "high"])
@pytest.mark.parametrize("names", [("anchor", "positive"), ("sentence1", "sentence2")])
def test_a_score_is_a_number_as_people_write_it(
    tmp_path: Path, score: Any, names: tuple[str, str]
) -> None:
    row = dict(zip((*names, "score"), ("a", "b", score), strict=True))
    assert "line 1: score must be a number" in refused(
        put(tmp_path / "x.jsonl", [row]), min_score=3
    )
