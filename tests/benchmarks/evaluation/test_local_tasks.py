"""Local files as evaluation tasks: scores, records, keys, leakage, and what is refused."""

import csv
import json
import random
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import beir, put
from running import planned_of
from scipy.stats import spearmanr

from nsbench.benchmarks.cli.prefetch import fetch
from nsbench.benchmarks.data._reading import Reading
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import check_tasks, evaluate
from nsbench.benchmarks.evaluation.local_tasks import (
    evaluation_tasks,
    fingerprinted,
    left_out,
    read_task,
    task_of_file,
    tasks_of_files,
)
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.export.cell import cell_from
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.records.local_task import KINDS, local_task

WORDS = ("red", "blue", "car", "boat", "old", "new", "one", "two")


def encode(texts):
    """Counts of eight words, and a constant so that no vector is zero."""
    rows = [[text.split().count(word) for word in WORDS] + [0.1] for text in texts]
    return np.array(rows, dtype=np.float32)


MODEL = EvaluatedModel("test/words", "abc", len(WORDS) + 1, encode)


def cosine(a, b):
    x, y = encode([a, b]).astype(np.float64)
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


GRADED = [
    ("red car", "old red car", 4.5),
    ("red car", "blue boat", 0.5),
    ("one boat", "one new boat", 3.0),
    ("two old", "red boat car", 1.0),
    ("new blue car", "blue car", 5.0),
]


GROUPED = [(c, n) for c in ("red red red", "blue blue blue") for n in ("one", "two", "old", "new")]
ASKED = [
    ("red car", ["old red car"], ["blue boat", "old car two"]),
    ("one boat", ["two boat", "one boat old"], ["one one boat", "red", "one boat two old"]),
]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A file or folder of each kind."""
    with (tmp_path / "graded.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("a", "b", "score"), *GRADED])
    lines = [{"sentence1": a, "sentence2": b, "label": s > 2} for a, b, s in GRADED]
    put(tmp_path / "paired.jsonl", lines)
    for name in ("fit", "scored"):
        rows = [f"{color} {n}\t{color}" for color in ("red", "blue") for n in ("one", "two")]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n")
    lines = [f"text,label\n{c} car {n},{c}\n{c} boat {n},{c}" for c, n in GROUPED]
    (tmp_path / "grouped.csv").write_text("\n".join([lines[0], *(x[11:] for x in lines[1:])]))
    lines = [{"query": q, "positive": p, "negative": n} for q, p, n in ASKED]
    put(tmp_path / "asked.jsonl", lines)
    docs = [{"_id": "a", "title": "red", "text": "car"}, {"_id": "b", "text": "blue boat"}]
    docs += [{"_id": "c", "text": "old new"}]
    asked = [{"_id": "q", "text": "red car"}, {"_id": "r", "text": "blue boat old"}]
    beir(tmp_path / "search", docs, asked, test="q\ta\t1\nr\tc\t1\nr\tb\t0\n")
    return tmp_path


def entry(name: str, kind: str, path: Path, **more) -> dict[str, Any]:
    return {"name": name, "kind": kind, "path": str(path)} | more


def entries(folder: Path):
    sides = {"sentence1": "a", "sentence2": "b"}
    return [
        entry("graded", "sts", folder / "graded.csv", columns=sides),
        entry("paired", "pair_classification", folder / "paired.jsonl"),
        entry("labelled", "classification", folder / "scored.tsv", train=str(folder / "fit.tsv")),
        entry("grouped", "clustering", folder / "grouped.csv"),
        entry("asked", "reranking", folder / "asked.jsonl"),
        entry("search", "retrieval", folder / "search"),
    ]


def mean_average_precision():
    """Of ranking each query's candidates by cosine, by its definition."""
    out = []
    for query, right, wrong in ASKED:
        ranked = sorted(right + wrong, key=lambda text: -cosine(query, text))
        places = [i for i, text in enumerate(ranked, 1) if text in right]
        out.append(np.mean([found / place for found, place in enumerate(places, 1)]))
    assert 0.4 < np.mean(out) < 0.9  # neither way round is trivial
    return float(np.mean(out))


def main_scores(found):
    return {s.task: (s.metric, s.value, s.n_examples) for s in found.scores if s.main}


def test_every_kind_gets_the_score_that_it_should(tables: Path, tmp_path: Path) -> None:
    tasks = evaluation_tasks(entries(tables))
    found = evaluate(MODEL, tasks, results=tmp_path / "mteb")
    scores = main_scores(found)
    gold = [s for *_, s in GRADED]
    own = spearmanr([cosine(a, b) for a, b, _ in GRADED], gold).statistic
    assert scores["graded"] == ("cosine_spearman", pytest.approx(own), 5)
    # Every pair above 2 is more alike than every other: precision is 1 at each of them.
    assert scores["paired"] == ("max_ap", pytest.approx(1.0), 5)
    assert scores["labelled"] == ("accuracy", pytest.approx(1.0), 4)
    assert scores["grouped"] == ("v_measure", pytest.approx(1.0), 16)
    assert scores["asked"] == ("map_at_1000", pytest.approx(mean_average_precision(), abs=1e-5), 2)
    # First query: its document is first. Second: b before c, so c's gain is discounted by log2(3).
    assert scores["search"] == ("ndcg_at_10", pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-4), 2)
    engines = found.info["engine"]
    assert engines == {t.name: "own" if t.kind == "sts" else "mteb" for t in tasks}
    digest = tasks[0].digest
    assert found.info["source"]["graded"] == f"local/graded.csv@{digest}"
    files = (tmp_path / "mteb" / "results").rglob("*.json")
    assert {p.stem for p in files} >= {t.name for t in tasks}
    by_mteb = main_scores(evaluate(MODEL, tasks[:1], engine="mteb", geometry=False))
    assert by_mteb["graded"][1] == pytest.approx(own, abs=1e-6)


def test_other_bytes_make_another_cell_and_the_old_one_is_found_again(tables: Path, small) -> None:
    raw = small(evaluation={"tasks": ["own", *entries(tables)]})
    before = planned_of(raw)[0].cell
    assert before.key == planned_of(raw)[0].cell.key
    path = tables / "search" / "qrels" / "test.tsv"
    text = path.read_text()
    path.write_text(text + "q\tb\t1\n")
    assert planned_of(raw)[0].cell.key != before.key
    path.write_text(text)
    assert planned_of(raw)[0].cell.key == before.key
    assert cell_from(json.loads(json.dumps(before.plain()))) == before


def test_a_file_that_changes_after_the_plan_fails_the_cell(tables: Path) -> None:
    (task,) = evaluation_tasks(entries(tables)[1:2])
    path = tables / "paired.jsonl"
    path.write_text(path.read_text().replace("red car", "red boat"))
    with pytest.raises(ValueError, match=r"paired.jsonl is another file than its digest says"):
        evaluate(MODEL, [task])


def test_a_cell_is_scored_on_local_files_and_scanned_for_them(
    tables: Path, small, run_matrix
) -> None:
    train = tables / "train.txt"
    lines = [a for a, *_ in GRADED] + [f"{w} {v} {u}" for w in WORDS for v in WORDS for u in WORDS]
    train.write_text("\n".join(dict.fromkeys(lines)) + "\n")
    raw = small(
        data=[{"name": "file", "path": str(train)}],
        evaluation={"tasks": entries(tables), "dev": entries(tables)[0] | {"name": "choice"}},
    )
    with pytest.raises(ValueError, match="the very bytes that the task 'graded' is scored on"):
        planned_of(raw)
    raw["evaluation"]["dev"]["path"] = str(tables / "dev.csv")
    (tables / "dev.csv").write_text("a,b,score\nred car,red boat,3\nold,new,0\nred,red,5\n")
    folder, (record,) = run_matrix(raw)
    assert record.status == "done", record.traceback
    assert record.cost["dev_looks"] == 1
    rows = list(csv.DictReader(next(folder.folders()).scores.open()))
    names = {entry["name"] for entry in entries(tables)}
    assert {r["task"] for r in rows if r["main"] == "True"} == names
    # Of nine texts, all but "blue boat" and "blue car"; of four, all but "blue boat" and "old new".
    assert record.leakage["graded"]["exact"] == pytest.approx(7 / 9)
    assert record.leakage["labelled"]["texts"] == 4
    assert record.leakage["search"]["exact"] == pytest.approx(2 / 4)


def test_prefetch_lists_the_files(tables: Path, small) -> None:
    raw = small(evaluation={"tasks": [entries(tables)[2], entries(tables)[-1]]})
    rows = [row for row in fetch(parse_config(raw)) if row["kind"] == "task"]
    names = [[Path(f["path"]).name for f in row["files"]] for row in rows]
    assert names == [["fit.tsv", "scored.tsv"], ["corpus.jsonl", "test.tsv", "queries.jsonl"]]
    assert all(f["sha256"].startswith("sha256:") for row in rows for f in row["files"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "stss"}, r"kind is 'stss'\. Did you mean 'sts'\? Known: classification, cl"),
        ({"pth": "x"}, r"unknown key 'pth'\. Did you mean 'path'\?"),
        ({"name": "a/b"}, "evaluation task 'a/b': a name is letters, digits and"),
        ({"name": "own"}, "mean something else"),
        ({"columns": {"text": "a"}}, r"a key of columns is 'text'\. .*Known: score, sentence1"),
        ({"columns": ["a"]}, r"columns must be a table"),
        ({"columns": {"sentence1": "z"}}, r"line 2: has no 'z'\. Known: a, b, score"),
        ({"train": "x.csv"}, "sts takes no train file"),
        ({"header": 1}, "header must be true or false"),
        ({"kind": "retrieval", "columns": {}}, "is no folder with corpus, queries and qrels"),
        ({"path": "nowhere.csv"}, "there is no file nowhere.csv"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tables: Path, change, message) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        evaluation_tasks([entries(tables)[0] | change])


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("sts", "sentence1,sentence2,score\na,b,high\n", "line 2: score must be a number, got"),
        ("sts", "sentence1,sentence2,score\na,b,inf\n", "score must be finite"),
        ("sts", "sentence1,sentence2,score\na,b,1\nc,d,1\n", "has one score only, 1"),
        ("sts", "sentence1,sentence2,score\n", "is empty"),
        ("sts", "sentence1,score\na,1\n", r"has no 'sentence2'\. .*Rename with columns"),
        (
            "pair_classification",
            "sentence1,sentence2,label\na,b,2\n",
            "label must be 0 or 1, got '2'",
        ),
        ("pair_classification", "sentence1,sentence2,label\na,b,1\n", "one label only, 1"),
        ("clustering", "text,label\na,zebra\nb,zebra\n", "has one label only, 'zebra'"),
        ("clustering", "text,label\na,\n", "label must be one value, got ''"),
        ("reranking", "query,positive,negative\na,b,c\n", "positive must be a list of texts, got"),
        ("classification", "text,label\na,zebra\n", "has the label 'zebra', which .* does not"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named(tables: Path, kind, text, message) -> None:
    path = put(tables / "bad.csv", text)
    table = {"name": "bad", "kind": kind, "path": str(path)}
    if kind == "classification":
        table["train"] = str(tables / "fit.tsv")
    with pytest.raises(ValueError, match=message):
        fingerprinted(local_task(table))


def test_a_digest_may_be_pinned(tables: Path) -> None:
    (task,) = evaluation_tasks(entries(tables)[:1])
    assert evaluation_tasks([entries(tables)[0] | {"digest": task.digest}]) == (task,)
    with pytest.raises(ValueError, match=r"graded\.csv is another file than its digest says"):
        evaluation_tasks([entries(tables)[0] | {"digest": "sha256:0"}])


def test_a_judgement_that_is_no_whole_number_is_refused(tables: Path) -> None:
    path = tables / "search" / "qrels" / "test.tsv"
    path.write_text(path.read_text() + "q\tb\t0.5\n")
    with pytest.raises(ValueError, match=r"judgement of 'q' and 'b' is 0\.5"):
        evaluation_tasks(entries(tables)[-1:])


def test_names_are_not_those_of_other_tasks(tables: Path) -> None:
    table = entries(tables)[1]
    with pytest.raises(ValueError, match="two evaluation tasks are called 'paired'"):
        evaluation_tasks([table, table])
    for name in ("STS12", "BIOSSES", "STS7", "BEIR"):
        with pytest.raises(ValueError, match=f"'{name}' is a task of mteb or a group of ours"):
            check_tasks(evaluation_tasks([table | {"name": name}]))
    assert mteb_tasks.missing_data(mteb_tasks.resolve(evaluation_tasks([table]))) == []


def test_a_file_says_by_its_columns_what_it_is(tables: Path) -> None:
    assert task_of_file(tables / "paired.jsonl").kind == "pair_classification"
    assert task_of_file(tables / "search").name == "search"
    assert task_of_file(tables / "asked.jsonl").kind == "reranking"
    with pytest.raises(ValueError, match="has the columns text, label; legal are sentence1"):
        task_of_file(tables / "fit.tsv")


def test_editors_know_the_keys_of_a_task(tables: Path) -> None:
    """The schema holds what `local_task` takes, and nothing else."""
    from nsbench.benchmarks.matrix.config import EvaluationConfig

    properties = EvaluationConfig.model_json_schema()["properties"]
    name, table = properties["tasks"]["items"]["anyOf"]
    assert name == {"type": "string"}
    assert properties["dev"]["anyOf"] == [name, table]
    assert table["properties"]["kind"]["enum"] == [e["kind"] for e in entries(tables)]
    assert set(table["properties"]) >= {key for e in entries(tables) for key in e}
    for key in table["required"]:
        with pytest.raises(ValueError, match=f"has no {key}"):
            local_task({k: v for k, v in entries(tables)[0].items() if k != key})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"negative": []}, "needs a positive and a negative text at least"),
        ({"negative": ["x", "a"]}, "'a' is positive and negative at once"),
        ({"positive": ["a", " "]}, "positive is blank"),
        ({"query": ""}, "query is blank"),
    ],
)
def test_candidates_that_cannot_be_ranked_are_named(tmp_path: Path, change, message) -> None:
    good = {"query": "q", "positive": ["a"], "negative": ["b"]}
    path = put(tmp_path / "bad.jsonl", [good, good | change])
    with pytest.raises(ValueError, match=f"line 2: {message}"):
        fingerprinted(local_task({"name": "bad", "kind": "reranking", "path": str(path)}))


PAIR = {"sentence1": "a", "sentence2": "b", "label": 1}
NEAR = {"query": "q", "positive": ["a"], "negative": ["b"]}


@pytest.mark.parametrize(
    ("kind", "rows", "message"),
    [
        ("pair_classification", [PAIR, PAIR | {"label": 0}], "the pair has two labels: 0 here, 1"),
        (
            "pair_classification",
            [PAIR, {"sentence1": "b", "sentence2": "a", "label": 0}],
            "the pair has two labels: 0 here, 1",
        ),
        (
            "clustering",
            [{"text": "a", "label": "x"}, {"text": "a", "label": "y"}],
            "the text has two labels: 'y' here, 'x'",
        ),
        (
            "reranking",
            [NEAR, {"query": "q", "positive": ["c"], "negative": ["d", "a"]}],
            "a text is positive in one row of a query and negative in another: 'negative' here, "
            "'positive'",
        ),
    ],
)
def test_a_row_that_says_the_opposite_of_an_earlier_one_is_bad(
    tmp_path: Path, kind: str, rows: list[dict], message: str
) -> None:
    good = {
        "pair_classification": {"sentence1": "c", "sentence2": "d", "label": 0},
        "clustering": {"text": "c", "label": "z"},
        "reranking": {"query": "other", "positive": ["b"], "negative": ["a"]},
    }
    path = put(tmp_path / "bad.jsonl", [rows[0], good[kind], rows[1]])
    entry = {"name": "bad", "kind": kind, "path": str(path)}
    said = re.escape(f"bad.jsonl, line 3: {message} in ")
    with pytest.raises(ValueError, match=f"{said}.*bad.jsonl, line 1$"):
        fingerprinted(local_task(entry))
    task = fingerprinted(local_task(entry | {"bad_rows": "skip"}))
    (reasons,) = left_out([task]).values()
    assert [message.startswith(r["why"]) and r["count"] for r in reasons] == [1]
    again = put(tmp_path / "again.jsonl", [rows[0], good[kind], rows[0]])
    twice = read_task(fingerprinted(local_task(entry | {"path": str(again)})))
    assert 3 in {len(column) for column in twice.get("test", twice).values()}


def test_a_row_left_out_says_nothing_of_later_ones(tmp_path: Path) -> None:
    opposite = {"query": "q", "positive": ["c"], "negative": ["a", "e"]}
    later = {"query": "q", "positive": ["e"], "negative": ["c"]}
    path = put(tmp_path / "rows.jsonl", [NEAR, opposite, later])
    entry = {"name": "rows", "kind": "reranking", "path": str(path), "bad_rows": "skip"}
    (reasons,) = left_out([fingerprinted(local_task(entry))]).values()
    assert [r["count"] for r in reasons] == [1]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("sentence1;sentence2;score", "There is one column: set delimiter = ';'"),
        ("sentence1, sentence2, score", "has the columns sentence1, ' sentence2', ' score'; legal"),
    ],
)
def test_columns_of_a_test_file_that_fit_nothing_are_shown(
    tmp_path: Path, head: str, said: str
) -> None:
    path = tmp_path / "test.csv"
    path.write_text(f"{head}\na,b,1\n" if "," in head else f"{head}\na;b;1\n")
    with pytest.raises(ValueError, match=re.escape(said)):
        task_of_file(path)


def test_reranking_is_what_mteb_makes_of_such_rows(tables: Path) -> None:
    """Its own class for rows of a query with two lists gives the same scores."""
    import warnings

    from datasets import Dataset
    from mteb.abstasks.text import reranking

    from nsbench.benchmarks.evaluation.mteb.adapter import MtebEncoder, contained, mteb_module
    from nsbench.benchmarks.evaluation.mteb.local import mteb_task

    (task,) = [t for t in evaluation_tasks(entries(tables)) if t.kind == "reranking"]
    ours = mteb_task(task)
    with contained(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = type("Theirs", (reranking.AbsTaskReranking,), {"metadata": ours.metadata})()
        theirs.dataset = {"default": {}}
        rows = [dict(zip(("query", "positive", "negative"), r, strict=True)) for r in ASKED]
        reranking.OLD_FORMAT_RERANKING_TASKS.append(task.name)
        try:
            theirs.transform_old_dataset_format({"default": {"test": Dataset.from_list(rows)}})
        finally:
            reranking.OLD_FORMAT_RERANKING_TASKS.remove(task.name)
        found = [
            mteb_module()
            .evaluate(MtebEncoder(MODEL, encode), t, cache=None, co2_tracker=False)
            .task_results[0]
            .scores["test"][0]
            for t in (ours, theirs)
        ]
    assert found[0]["main_score"] == pytest.approx(mean_average_precision(), abs=1e-5)
    numbers = [{k: v for k, v in f.items() if isinstance(v, float)} for f in found]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) > 20


def test_clustering_is_what_mteb_computes_on_all_texts(tables: Path) -> None:
    from datasets import Dataset, DatasetDict
    from mteb.abstasks import AbsTaskClustering

    from nsbench.benchmarks.evaluation.mteb.adapter import MtebEncoder, contained, mteb_module
    from nsbench.benchmarks.evaluation.mteb.local import mteb_task

    rows = [(f"{w} {v} {u}", u) for w in WORDS[:4] for v in WORDS[:4] for u in WORDS[4:]]
    path = put(tables / "hard.csv", "text,label\n" + "\n".join(map(",".join, rows)))
    (task,) = evaluation_tasks([{"name": "hard", "kind": "clustering", "path": str(path)}])
    ours = mteb_task(task)
    with contained():
        settings = {"max_fraction_of_documents_to_embed": None, "max_documents_per_cluster": 64}
        given = {"metadata": ours.metadata} | settings
        theirs = type("Theirs", (AbsTaskClustering,), given)()
        columns = {"sentences": [a for a, _ in rows], "labels": [b for _, b in rows]}
        theirs.dataset = DatasetDict({"test": Dataset.from_dict(columns)})
        theirs.data_loaded = True
        expected = mteb_module().evaluate(
            MtebEncoder(MODEL, encode), theirs, cache=None, co2_tracker=False
        )
    (score,) = [s for s in evaluate(MODEL, [task], geometry=False).scores if s.main]
    assert score.metric == "v_measure"
    assert 0 < score.value < 0.9
    assert score.value == expected.task_results[0].get_score()


# --- the options of reading, and names of test files

INCHES = 'sentence1,sentence2,score\nplain,text,5\n"7" pipe,a pipe,1\n'


def test_tasks_are_read_with_the_options_of_training_data(tmp_path: Path) -> None:
    path = put(tmp_path / "x.csv", INCHES)
    with pytest.raises(ValueError, match='set quotes = "none"'):
        task_of_file(path)
    task = task_of_file(path, reading=Reading(quotes="none"))
    assert read_task(task)["test"]["sentence1"] == ["plain", '"7" pipe']
    table = {"name": "x", "kind": "sts", "path": str(path), "quotes": "none"}
    assert evaluation_tasks([table]) == (replace(task, name="x"),)
    with pytest.raises(ValueError, match=r"evaluation task 'x': quotes is 'nine'"):
        evaluation_tasks([table | {"quotes": "nine"}])
    rows = put(tmp_path / "pairs.txt", "one two\tthree\t1\tx\nfour\tfive\t0\n")
    with pytest.raises(ValueError, match="lines have tabs"):
        task_of_file(rows)
    columns = {"sentence1": "1", "sentence2": "2", "label": "3"}
    given = entry("pairs", "pair_classification", rows, columns=columns)
    options = {"header": False, "delimiter": "tab", "ragged": "allow"}
    (task,) = evaluation_tasks([given | options])
    assert read_task(task)["test"]["labels"] == [1, 0]
    assert local_task(task.plain()) == task


@pytest.mark.parametrize(
    ("kind", "rows", "kept"),
    [
        ("sts", ["a,b,1", "c,,2", "d,e,nan", "f,g,3"], 2),
        ("pair_classification", ["a,b,1", "c,d,maybe", "e,f,0"], 2),
        ("clustering", ["a,x", "b,", "c, y ", "a,y", "d,y"], 3),
    ],
)
def test_bad_rows_of_tests_are_refused_or_skipped_and_counted(
    tmp_path: Path, kind: str, rows: list[str], kept: int
) -> None:
    path = put(tmp_path / "x.csv", "\n".join([",".join(KINDS[kind].columns), *rows]) + "\n")
    table = {"name": "x", "kind": kind, "path": str(path)}
    with pytest.raises(ValueError, match=r"x\.csv, line \d: "):
        evaluation_tasks([table])
    tasks = evaluation_tasks([table | {"bad_rows": "skip"}])
    assert {len(column) for column in read_task(tasks[0])["test"].values()} == {kept}
    (reasons,) = left_out(tasks).values()
    assert sum(reason["count"] for reason in reasons) == len(rows) - kept
    assert left_out(["STS7", *tasks]).keys() == {"x"}


def test_blank_documents_stay_candidates(tables: Path, tmp_path: Path) -> None:
    corpus = tables / "search" / "corpus.jsonl"
    blank = '\n{"_id": "d", "title": "", "text": ""}\n{"_id": "e", "text": null}\n'
    corpus.write_text(corpus.read_text() + blank)
    (task,) = evaluation_tasks(entries(tables)[-1:])
    assert [d["text"] for d in read_task(task)["test"]["corpus"]][-2:] == ["", ""]
    scores = main_scores(evaluate(MODEL, [task], results=tmp_path / "mteb"))
    assert scores["search"][1] == pytest.approx((1 + 1 / np.log2(3)) / 2, abs=1e-4)


def test_what_was_left_out_is_in_the_record_of_the_scores(tables: Path) -> None:
    path = tables / "search" / "qrels" / "test.tsv"
    path.write_text(path.read_text() + "q\tnowhere\t1\n")
    with pytest.raises(ValueError, match=r"test\.tsv, line 5: corpus-id 'nowhere' is not in the"):
        evaluation_tasks(entries(tables)[-1:])
    tasks = evaluation_tasks([entries(tables)[-1] | {"bad_rows": "skip"}])
    wanted = {"why": "corpus-id is not in the folder", "count": 1, "first": ["test.tsv, line 5"]}
    assert evaluate(MODEL, tasks).info["left_out"]["search"] == [wanted]


def test_test_files_get_names_that_are_legal_and_differ(tmp_path: Path) -> None:
    places = ["prüf \u2013 menge.csv", "fr/test.csv", "de/test.csv", "x/de/test.csv", "own.csv"]
    places += ["日本.csv", "中国.csv", "a=b.csv", ".hidden.csv"]
    rows = "sentence1,sentence2,score\na,b,1\nc,d,2\n"
    given = [str(put(tmp_path / place, rows)) for place in places]
    names = [task.name for task in tasks_of_files(given)]
    assert names[:2] == ["pruf-menge", "fr-test"]
    assert names[3] == "x-de-test"
    assert names[4] == "own-test"
    assert names[7:] == ["a-b", "hidden"]
    assert len(set(names)) == len(names)
    named = tasks_of_files([f"mine={given[1]}", given[2]])
    assert [task.name for task in named] == ["mine", "test"]
    assert [t.name for t in tasks_of_files([f"test={given[1]}", given[2]])] == ["test", "de-test"]
    with pytest.raises(ValueError, match="two test files are called 'a'"):
        tasks_of_files([f"a={given[1]}", f"a={given[2]}"])
    with pytest.raises(ValueError, match="is given twice"):
        tasks_of_files([given[1], given[1]])
    with pytest.raises(ValueError, match="evaluation task 'a b': a name is letters"):
        tasks_of_files([f"a b={given[1]}"])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        tasks_of_files([f"a={tmp_path / 'nothing.csv'}"])


def test_options_of_tables_are_for_the_tables_among_the_test_files(tables: Path) -> None:
    path = put(tables / "x.csv", INCHES)
    folder = str(tables / "search")
    reading = Reading(quotes="none", bad_rows="skip")
    table, search = tasks_of_files([str(path), folder], reading)
    assert (table.quotes, table.bad_rows) == ("none", "skip")
    assert (search.quotes, search.bad_rows) == ("auto", "skip")
    with pytest.raises(ValueError, match="quotes cannot be set"):
        tasks_of_files([folder], reading)


def test_no_clustering_is_scored_on_a_draw_that_lacks_a_label(tmp_path: Path) -> None:
    """19 texts of one label and one of another: a constant model knows nothing and gets 0."""
    from nsbench.benchmarks.evaluation.mteb.local import WholeDraws

    rows = [f"text {i},{'ab'[i == 7]}\n" for i in range(20)]
    path = put(tmp_path / "rare.csv", "".join(["text,label\n", *rows]))
    (task,) = evaluation_tasks([{"name": "rare", "kind": "clustering", "path": str(path)}])
    constant = replace(MODEL, encode=lambda texts: np.ones((len(texts), MODEL.dimension), "f4"))
    (score,) = [s for s in evaluate(constant, [task], geometry=False).scores if s.main]
    assert score.value == 0
    for count, labels in ((20, [0] * 19 + [1]), (30, [*range(25), 0, 0, 0, 0, 0])):
        for seed in range(20):
            draws = WholeDraws(labels, random.Random(seed).getstate())
            for same in (lambda x: x, deepcopy):
                drawn = same(draws).choices(range(count), k=count)
                assert {labels[i] for i in drawn} == set(labels)
                assert len(drawn) == count


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
def test_ties_of_a_constant_model_are_counted_and_said(tmp_path: Path, names: Any) -> None:
    right, wrong = names
    docs = [{"_id": right, "text": "right one"}]
    docs += [{"_id": f"{wrong}{i}", "text": f"wrong one {i}"} for i in range(12)]
    judged = "".join(f"q{i}\t{right}\t1\n" for i in range(3))
    folder = beir(tmp_path / "beir", docs, [f"query {i}" for i in range(3)], test=judged)
    (task,) = evaluation_tasks([{"name": "beir", "kind": "retrieval", "path": str(folder)}])
    constant = replace(MODEL, encode=lambda texts: np.ones((len(texts), MODEL.dimension), "f4"))
    found = evaluate(constant, [task], geometry=False)
    assert found.info["ties"] == {"beir": {"rows": 3, "tied": 3}}
    assert "mteb orders these by their ids" in found.info["notes"]["beir/ties/all"]

    def drawn(texts: Any) -> Any:
        rows = [np.random.default_rng(list(t.encode())).normal(size=MODEL.dimension) for t in texts]
        return np.array(rows, "f4")

    apart = evaluate(replace(MODEL, encode=drawn), [task], geometry=False)
    assert "ties" not in apart.info
