"""Overlap of training text and tests: by hand on a few sentences, stored once, in every record."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from datasets import Dataset
from made_data import pairs_of
from running import Build, Run

from nsbench.analysis.read.leakage import leak_columns
from nsbench.benchmarks.data import LabelledTexts, Pairs
from nsbench.benchmarks.data.sts_unlabelled import StsUnlabelled
from nsbench.benchmarks.evaluation import leakage
from nsbench.benchmarks.evaluation.leakage import EvaluationTexts, Overlap, runs, scan, scan_stored
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.evaluation.mteb.requests import LoadedTask
from nsbench.benchmarks.evaluation.mteb.tasks import STS7
from nsbench.benchmarks.records import read_record
from nsbench.samplers._cache import clear_caches

LONG = "one two three four five six seven eight nine"
TRAINING = ("A dog  sleeps.", f"before {LONG.replace('four', 'four,')} after", "unrelated")


def pairs(*rows: tuple[str, str], name: str = "sts") -> EvaluationTexts:
    first, second = zip(*rows, strict=True)
    return EvaluationTexts.of(Pairs(name, first, second, (0.0,) * len(rows)))


def test_exact_overlap_is_after_normalisation_and_counts_texts_once() -> None:
    test = pairs(("a dog sleeps.", "A cat sings."), ("UNRELATED", "a DOG sleeps."))
    (found,) = scan(TRAINING, [test])
    # Three different texts, two of them trained on; the second pair with both of its texts.
    assert found == Overlap(texts=3, exact=2 / 3, pairs=0.5, long_texts=0, ngram=0.0)


def test_a_run_of_eight_words_is_found_inside_other_text_whatever_the_punctuation() -> None:
    seven = "two three four five six seven eight"
    test = pairs((f"{LONG}!", f"{seven} and then some"), ("no such words here at all, not one", ""))
    (found,) = scan(TRAINING, [test])
    # Long texts: LONG (shares two runs), the seven and their tail (shares seven words only), and
    # the eight words that are in no training text.
    assert (found.texts, found.exact, found.long_texts) == (4, 0.0, 3)
    assert found.ngram == pytest.approx(1 / 3)


def test_runs_are_every_window_of_words() -> None:
    assert list(runs("a b, c d", 3)) == ["a b c", "b c d"]
    assert list(runs("a b", 3)) == []


def test_each_test_is_judged_by_its_own_texts() -> None:
    one, two = pairs(("a dog sleeps.", "x y")), pairs(("p q", "r s"), name="other")
    assert [o.exact for o in scan(TRAINING, [one, two])] == [0.5, 0.0]
    assert scan(TRAINING, [one, two]) == [*scan(TRAINING, [one]), *scan(TRAINING, [two])]


def test_of_a_classification_test_only_what_is_scored_is_scanned() -> None:
    test = LabelledTexts("classes", ("unrelated",), (0,), ("a dog sleeps.", "else"), (0, 1))
    (found,) = scan(TRAINING, [EvaluationTexts.of(test)])
    assert (found.texts, found.exact, found.pairs) == (2, 0.5, None)


def test_a_stored_scan_is_not_made_again_and_a_broken_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_caches("nsbench.benchmarks.evaluation.leakage")
    calls: list[int] = []
    monkeypatch.setattr(leakage, "scan", lambda t, tests: calls.append(1) or scan(t, tests))
    test = pairs(("a dog sleeps.", "x y"))
    first = scan_stored([pairs_of(TRAINING)], [test], tmp_path / "leakage")
    assert first["sts"]["exact"] == 0.5
    assert scan_stored([pairs_of(TRAINING)], [test], tmp_path / "leakage") == first
    clear_caches("nsbench.benchmarks.evaluation.leakage")  # another process
    assert scan_stored([pairs_of(TRAINING)], [test], tmp_path / "leakage") == first
    assert len(calls) == 1
    clear_caches("nsbench.benchmarks.evaluation.leakage")
    (stored,) = (tmp_path / "leakage").glob("*.json")
    stored.write_text('{"texts": 1')
    assert scan_stored([pairs_of(TRAINING)], [test], tmp_path / "leakage") == first
    assert len(calls) == 2
    assert json.loads(stored.read_text()) == first["sts"]
    scan_stored([pairs_of((*TRAINING, "x y"))], [test], tmp_path / "leakage")
    assert len(calls) == 3  # other training text, other scan


def test_texts_of_any_layout_are_found() -> None:
    rows = Dataset.from_dict({"text": ["two words", "three more words"], "label": ["card", "b"]})
    nested = {"corpus": {"d1": {"title": "a title", "text": "some text"}}, "queries": ["a query"]}
    for data, expected in (
        (rows, ("two words", "three more words")),
        (nested, ("a title", "some text", "a query")),
        (Dataset.from_dict({"sentences": [["p q", "r s"]]}), ("p q", "r s")),
    ):
        task = type("Task", (), {"dataset": {"default": {"test": data}}})()
        loaded = LoadedTask("t", task, "", (), {("test", "default"): 2})
        assert mteb_tasks.texts(loaded) == expected
        assert mteb_tasks.texts(loaded, limit=1) == expected[:1]


def test_every_trained_cell_records_it_and_the_untrained_nothing(
    small: Build, run_matrix: Run
) -> None:
    folder, _ = run_matrix(small(no_training=True))
    records = [read_record(p) for p in folder.folders()]
    by_sampler = {r.cell["sampler"]["name"]: r.leakage for r in records}
    assert by_sampler["no_training"] == {}
    found = by_sampler["in_batch"]
    assert set(found) == {"planted-sts", "planted-topics"}
    # planted's own tests promise to share no text with its rows
    assert {v["exact"] for v in found.values()} == {0.0}
    assert not any(v["transductive"] for v in found.values())
    assert len(list((folder.root / "leakage").glob("*.json"))) == 2


def test_what_reads_the_test_sentences_on_purpose_says_so() -> None:
    assert StsUnlabelled().transductive == STS7
    (found,) = scan(TRAINING, [EvaluationTexts("t", ("a b",), (), True)])
    assert found.transductive


def test_queries_documents_and_judged_pairs_of_a_retrieval_set_are_apart() -> None:
    documents = tuple(f"document number {i}" for i in range(40))
    queries = ("first query", "second query", "third query")
    test = EvaluationTexts(
        "search",
        (*queries, *documents),
        ((queries[0], documents[0]), (queries[1], documents[1])),
        queries=queries,
        documents=documents,
    )
    (found,) = scan([*documents[:38], "First  query"], [test])
    assert (found.queries, found.documents) == (3, 40)
    assert found.queries_exact == pytest.approx(1 / 3)
    assert found.documents_exact == pytest.approx(38 / 40)
    assert found.pairs == 0.5
    (none,) = scan(documents, [test])
    assert (none.queries_exact, none.documents_exact, none.pairs) == (0.0, 1.0, 0.0)
    assert leak_columns({"search": asdict(none)})["leak_exact"] == 0.0
