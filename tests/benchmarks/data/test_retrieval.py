"""Retrieval sets: rows by query, what is held out, and development queries."""

from pathlib import Path
from typing import Any

import datasets as hf
import huggingface_hub.constants
import numpy as np
import pytest
from made_data import beir, put

from nsbench.benchmarks.contrast.context import Known
from nsbench.benchmarks.data import Ranking, TrainingData, datasets
from nsbench.benchmarks.mining.corpus import Corpus
from nsbench.benchmarks.training.batches import positives_of
from nsbench.benchmarks.training.regime import few_shot

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DOCUMENTS = {f"d{i}": f"document {i}" for i in range(9)}
QUERIES = {f"q{i}": f"query {i}" for i in range(6)}
TRAIN = [
    ("q0", "d0", 1),
    ("q0", "d1", 2),
    ("q0", "d2", 0),
    ("q1", "d3", 1),
    ("q2", "d4", 1),
    ("q2", "d0", 1),
    ("q3", "d2", 0),
]
TEST = [("q4", "d5", 1), ("q4", "d0", 1), ("q5", "d6", 2), ("q5", "d7", 0)]


def judged(rows: list[tuple[str, str, int]]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpus = [{"_id": i, "title": "", "text": t} for i, t in DOCUMENTS.items()]
    queries = [{"_id": i, "text": t} for i, t in QUERIES.items()]
    return beir(tmp_path / "toy", corpus, queries, train=judged(TRAIN), test=judged(TEST))


def make(folder: Path, **given: Any) -> Any:
    dataset = datasets.make("retrieval", path=str(folder), **given)
    dataset.check()
    return dataset


def told(data: TrainingData) -> list[tuple[str, str]]:
    pairs = zip(data.anchor, data.positive, strict=True)
    return [(data.texts[a][6:], data.texts[p][9:]) for a, p in pairs]


def test_every_relevant_document_is_a_row_and_irrelevant_ones_are_given(folder: Path) -> None:
    data = make(folder)()
    assert told(data) == [("0", "1"), ("0", "0"), ("1", "3"), ("2", "4"), ("2", "0")]
    given = [[data.texts[i] for i in row if i >= 0] for row in data.negatives]
    assert given == [["document 2"], ["document 2"], [], [], []]


def test_documents_of_held_out_queries_are_no_training_texts(folder: Path) -> None:
    data = make(folder)()
    held = {"document 5", "document 6"}  # 0 is also relevant to a query that is trained on
    assert set(data.texts) == (set(DOCUMENTS.values()) | {f"query {i}" for i in range(3)}) - held
    counts = {item["why"]: item["count"] for item in data.report["left_out"]}
    assert counts["the document is judged for held-out queries only"] == 2
    assert counts["no document is relevant to the query"] == 1
    mined = Corpus(data).candidates
    assert not held & {data.texts[Corpus(data).text[i]] for i in mined}


def test_a_query_may_be_one_anchor_whose_positive_is_drawn(folder: Path) -> None:
    data = make(folder, positives="drawn")()
    assert told(data) == [("0", "1"), ("1", "3"), ("2", "4")]
    assert [[data.texts[i] for i in row if i >= 0] for row in data.others] == [
        ["document 0"],
        [],
        ["document 0"],
    ]
    rows = np.arange(3)
    drawn = [positives_of(data, rows, step, 7) for step in range(40)]
    seen = {data.texts[d[0]] for d in drawn}
    assert seen == {"document 0", "document 1"}
    assert {data.texts[d[1]] for d in drawn} == {"document 3"}
    assert np.array_equal(drawn[5], positives_of(data, rows, 5, 7))


def test_a_positive_that_is_not_drawn_is_no_negative(folder: Path) -> None:
    import torch

    data = make(folder, positives="drawn")()
    known = Known(data, torch.device("cpu"))
    number = {text: i for i, text in enumerate(data.texts)}
    query = torch.tensor([number["query 0"]])
    right = torch.tensor([number["document 0"], number["document 1"], number["document 3"]])
    assert known.pairs(query, right).tolist() == [[True, True, False]]
    corpus = Corpus(data)
    of = np.array([data.group[number["query 0"]]] * 2)
    documents = np.array([data.group[number["document 0"]], data.group[number["document 3"]]])
    assert corpus.is_known(of, documents).tolist() == [True, False]


def test_hidden_positives_are_false_negatives(folder: Path) -> None:
    import torch

    data = make(folder, known="one")()
    assert told(data) == [("0", "1"), ("1", "3"), ("2", "4")]
    known = Known(data, torch.device("cpu"))
    number = {text: i for i, text in enumerate(data.texts)}
    left = torch.tensor([number[f"query {i}"] for i in range(3)])
    right = torch.tensor([number["document 0"], number["document 1"]])
    assert not known.pairs(left, right)[:, 0].any()
    truth = known.truth(left, right)
    assert truth.tolist() == [[True, False], [False, False], [True, False]]
    assert data.knows_truth
    assert not make(folder)().knows_truth


def test_few_rows_keep_what_is_known_of_them(folder: Path) -> None:
    for given in ({"positives": "drawn"}, {"known": "one"}):
        data = make(folder, **given)()
        few = few_shot(data, 2, batch_size=4, seed=3)
        assert few.rows == 4
        whole = {
            (data.texts[a], data.texts[b])
            for a, b in np.concatenate(
                [data.known, *([] if data.hidden is None else [data.hidden])]
            )
        }
        part = [*few.known, *([] if few.hidden is None else few.hidden)]
        assert {(few.texts[a], few.texts[b]) for a, b in part} <= whole


def test_development_queries_are_drawn_and_held_out(folder: Path) -> None:
    dataset = make(folder, dev_share=0.4, seed=1)
    dev, data = dataset.dev(), dataset()
    assert isinstance(dev, Ranking)
    assert len(dev.queries) == 1
    assert set(dev.documents) == set(DOCUMENTS)
    assert not set(dev.queries.values()) & set(data.texts)
    relevant = {DOCUMENTS[d] for judged in dev.relevant.values() for d, s in judged.items() if s}
    positives = {data.texts[i] for i in data.positive}
    assert not (relevant - positives) & set(data.texts)
    assert make(folder).dev() is None
    assert set(make(folder, dev_split="test").dev().queries) == {"q4", "q5"}


def test_the_split_test_is_an_own_test(folder: Path) -> None:
    (test,) = make(folder, test="test").tests()
    assert test.name == "toy-test"
    assert test.relevant == {"q4": {"d5": 1, "d0": 1}, "q5": {"d6": 2, "d7": 0}}


def test_grades_decide_what_is_relevant(folder: Path) -> None:
    data = make(folder, relevant=2.0)()
    assert told(data) == [("0", "1")]
    assert {data.texts[i] for i in data.negatives[0]} == {"document 0", "document 2"}


def test_the_digest_of_other_data_is_as_before() -> None:
    """A digest decides the keys of stored cells."""
    row = np.array([0], dtype=np.int64)
    none = np.zeros((1, 0), dtype=np.int64)
    data = TrainingData("x", ("a", "b"), row, row + 1, none)
    assert data.digest == "4baaff232da602ae6f1d24fac7940124c149a4c1bf3f0a5300e87a660b8aee3a"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"split": "train", "held_out": ["train"]}, "without 'train', which is trained on"),
        ({"positives": "all"}, r"positives is .all.\. Known: drawn, rows"),
        ({"known": "one", "positives": "drawn"}, "nothing to draw"),
        ({"dev_share": 1.0}, "dev_share must be in"),
        ({"dev_share": 0.1, "dev_split": "test"}, "development queries come from one of them"),
        ({"split": "dev"}, "has judgements for test, train"),
        ({"relevant": 9.0}, "train has no relevant document to train on"),
    ],
)
def test_refusals(folder: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(folder, **given)()


def test_a_missing_folder_says_what_a_repository_needs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="needs a revision, its commit"):
        make(tmp_path / "nothing")


def test_a_hub_set_is_the_same_as_its_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "me" / "toy"
    names = {"corpus": ["corpus"], "queries": ["queries"], "default": ["train", "test"]}
    for split, rows in (("train", TRAIN), ("test", TEST)):
        found = [dict(zip(("query-id", "corpus-id", "score"), row, strict=True)) for row in rows]
        put(repository / f"{split}.jsonl", found)
    for name in ("corpus", "queries"):
        (repository / f"{name}.jsonl").write_bytes((folder / f"{name}.jsonl").read_bytes())
    head = ["---", "configs:"]
    for config, splits in names.items():
        head += [f"- config_name: {config}", "  data_files:"]
        head += [f"  - split: {s}\n    path: {s}.jsonl" for s in splits]
    (repository / "README.md").write_text("\n".join([*head, "---", ""]), encoding="utf-8")
    hf.disable_progress_bars()
    try:
        hub = datasets.make("retrieval", path="me/toy", revision=COMMIT)
        hub.check()
        found, local = hub(), make(folder)()
        with pytest.raises(ValueError, match="there are no judgements 'dev'"):
            datasets.make("retrieval", path="me/toy", revision=COMMIT, split="dev")()
    finally:
        hf.enable_progress_bars()
    assert found.digest == local.digest
    assert found.revision == COMMIT
    assert local.revision.startswith("sha256:")
