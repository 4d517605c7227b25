"""`nsbench mine`: window, sampler, pick and shortage; formats that read back; a card."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import LETTERS as MODEL
from made_data import letters, mine_command, pairs_of, put

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.mining.corpus import ShortageError
from nsbench.benchmarks.mining.dataset import FORMATS, MinedSet, MineSettings, mine_set
from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache
from nsbench.benchmarks.mining.dataset.card import card
from nsbench.benchmarks.mining.dataset.formats import write_set
from nsbench.benchmarks.mining.dataset.mined_set import Mining
from nsbench.benchmarks.mining.dataset.report import report
from nsbench.benchmarks.mining.dataset.write import mine_to, read_data, with_corpus
from nsbench.benchmarks.mining.settings import MinedFiles

BASE = MineSettings(shortage="fewer", negatives=2)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return datasets.make("planted", rows=40, seed=3)()


def test_no_negative_is_the_anchor_or_a_known_positive(data: TrainingData) -> None:
    mined = mine_set(data, BASE.replace(negatives=5, among="all"), model=MODEL)
    known = {
        (data.group[a], data.group[p]) for a, p in zip(data.anchor, data.positive, strict=True)
    }
    for row, texts in enumerate(mined.negatives):
        anchor = data.group[data.anchor[row]]
        for text in data.group[texts]:
            assert text != anchor
            assert (anchor, text) not in known
            assert (text, anchor) not in known


def test_negatives_are_the_best_places_of_the_ranking(data: TrainingData) -> None:
    mined = mine_set(data, BASE.replace(range_min=3, negatives=4), model=MODEL)
    np.testing.assert_array_equal(mined.ranks, np.tile([3, 4, 5, 6], (data.rows, 1)))
    assert (np.diff(mined.scores, axis=1) <= 1e-6).all()


def test_where_the_search_runs_decides_nothing_and_is_recorded(tmp_path: Path) -> None:
    many = datasets.make("planted", rows=400, seed=3)()
    plain = mine_set(many, BASE, model=MODEL)
    for changes in ({"devices": "cpu, cpu"}, {"devices": "cpu,cpu", "backend": "faiss"}):
        settings = BASE.replace(**changes)
        mined = mine_set(many, settings, model=MODEL)
        np.testing.assert_array_equal(mined.negatives, plain.negatives)
        np.testing.assert_array_equal(mined.scores, plain.scores)
        assert settings.plain()["devices"] == changes["devices"]


def test_a_search_that_cannot_run_is_refused_before_anything_is_encoded(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(texts: Any, role: str, prompt: str | None) -> Any:
        raise AssertionError("encoded")

    model = replace(MODEL, run=never)
    with pytest.raises(ValueError, match="no device 'cuda:77'"):
        mine_set(data, BASE.replace(devices="cuda:77"), model=model)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModuleNotFoundError, match="pip install faiss-cpu"):
        mine_set(data, BASE.replace(backend="faiss"), model=model)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        ("hard[k=2]", [0, 1]),
        ("easiest[k=2]", [8, 9]),
        ("band[low=0.4,high=0.6]", [4, 5]),
        ("median_triplet", [4]),
    ],
)
def test_any_sampler_chooses_in_the_window(
    data: TrainingData, sampler: str, expected: list[int]
) -> None:
    settings = BASE.replace(sampler=sampler, range_max=10)
    mined = mine_set(data, settings, model=MODEL)
    for ranks in mined.ranks:
        assert [r for r in ranks.tolist() if r >= 0] == expected


def test_weights_of_a_sampler_are_the_odds_of_the_draw(data: TrainingData) -> None:
    def mean_rank(beta: float) -> float:
        settings = BASE.replace(
            sampler=f"hard_reweighted[beta={beta}]", pick="random", range_max=30
        )
        return float(mine_set(data, settings, model=MODEL).ranks.mean())

    assert mean_rank(0.0) == pytest.approx(14.5, abs=3)  # uniform over 30 places
    assert mean_rank(8.0) < 7


def test_labels_make_the_oracle_sampler_free_of_false_negatives(data: TrainingData) -> None:
    plain = report(mine_set(data, BASE.replace(range_max=30), model=MODEL))
    clean = report(mine_set(data, BASE.replace(range_max=30, sampler="oracle"), model=MODEL))
    assert plain["false_negatives"]["known_same"] > 0
    assert clean["false_negatives"]["known_same"] == 0


def test_a_judge_is_what_guided_reads(data: TrainingData) -> None:
    settings = BASE.replace(sampler="guided", range_max=30)
    with pytest.raises(ValueError, match="name a judge"):
        mine_set(data, settings, model=MODEL)
    mined = mine_set(data, settings, model=MODEL, judge=MODEL)
    assert report(mined)["false_negatives"]["judge_above_positive"] == 0
    assert report(mined)["false_negatives"]["above_positive"] == 0  # the judge is the model
    both = mine_set(data, BASE.replace(range_max=30), model=MODEL, judge=MODEL)
    found = report(both)["false_negatives"]
    assert found["judge_above_positive"] == found["above_positive"] > 0


def test_corpus_samplers_bring_their_window() -> None:
    mined = MineSettings(sampler="mined[k=2,depth=7,start=3]")
    assert (mined.negatives, mined.range_min, mined.range_max) == (2, 3, 10)
    assert (mined.pick, mined.source, mined.shortage) == ("random", "model", "fewer")
    lexical = MineSettings(sampler="bm25[k=1,depth=1,k1=1.2]", shortage="drop")
    assert (lexical.source, lexical.pick, lexical.k1, lexical.shortage) == (
        "bm25",
        "top",
        1.2,
        "drop",
    )


def test_bm25_needs_no_model(data: TrainingData) -> None:
    mined = mine_set(data, BASE.replace(source="bm25"))
    assert mined.source == "bm25"
    assert (mined.scores[mined.negatives >= 0] > 0).all()


def test_shortage_policies(data: TrainingData) -> None:
    tight = BASE.replace(max_score=0.85, range_max=80)
    fewer = mine_set(data, tight, model=MODEL)
    short = (fewer.negatives < 0).any(axis=1)
    assert 0 < short.sum() < data.rows
    dropped = mine_set(data, tight.replace(shortage="drop"), model=MODEL)
    np.testing.assert_array_equal(dropped.kept, ~short)
    padded = mine_set(data, tight.replace(shortage="pad_random"), model=MODEL)
    assert (padded.negatives >= 0).all()
    assert padded.padded == (fewer.negatives < 0).sum() == (padded.ranks < 0).sum()
    with pytest.raises(ShortageError, match=f"{short.sum()} of {data.rows} rows"):
        mine_set(data, tight.replace(shortage="error"), model=MODEL)


@pytest.mark.parametrize("form", FORMATS)
def test_formats_read_back_as_training_rows(data: TrainingData, tmp_path: Path, form: str) -> None:
    mined = mine_set(data, BASE, model=MODEL)
    shortage = "drop" if form == "n-tuple" else "fewer"
    mined = replace(mined, settings=BASE.replace(shortage=shortage))
    wanted = MinedFiles(form=form, scores=form not in ("labeled-pair", "labeled-list"))
    first = write_set(mined, tmp_path, wanted)[0]
    if form.startswith("labeled"):
        rows = [json.loads(line) for line in first.read_text().splitlines()]
        expected = {"labeled-pair": 3 * data.rows, "labeled-list": data.rows}[form]
        assert len(rows) == expected
        return
    back = datasets.make("file", path=str(tmp_path if form == "beir" else first))()
    wanted = {
        (data.texts[data.anchor[r]], data.texts[data.positive[r]]): {
            data.texts[i] for i in mined.negatives[r]
        }
        for r in range(data.rows)
    }
    got: dict[Any, set[str]] = {}
    for anchor, positive, negatives in zip(back.anchor, back.positive, back.negatives, strict=True):
        key = back.texts[anchor], back.texts[positive]
        got.setdefault(key, set()).update(back.texts[i] for i in negatives if i >= 0)
    assert got == wanted


def test_parquet_holds_the_same_rows(data: TrainingData, tmp_path: Path) -> None:
    import pandas as pd

    mined = mine_set(data, BASE, model=MODEL)
    as_lines, as_table = MinedFiles(scores=True), MinedFiles(scores=True, file_type="parquet")
    lines = write_set(mined, tmp_path, as_lines)[0].read_text().splitlines()
    table = pd.read_parquet(write_set(mined, tmp_path, as_table)[0])
    assert [json.loads(line)["negative"] for line in lines] == table["negative"].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shortage": "few"}, "Did you mean 'fewer'"),
        ({"negatves": 2}, r"negatves\n.* Extra inputs are not permitted"),
        ({"negatives": 0}, r"negatives\n.* greater than or equal to 1"),
        ({"range_min": 5, "range_max": 6}, "leaves 1 places"),
        ({"sampler": "hrad"}, "Did you mean 'hard'"),
        ({"sampler": "mixed"}, "needs anchors, candidates: only in training"),
        ({"sampler": "incremental"}, "only in training"),
        ({"relative_margin": -1.0}, r"relative_margin\n.* greater than or equal to 0"),
        ({"source": "bm25", "query_prompt": "q: "}, "bm25 reads texts without one"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BASE.replace(**changes)


def test_shortage_has_to_be_said() -> None:
    with pytest.raises(ValueError, match="say with --shortage"):
        MineSettings(negatives=2)
    with pytest.raises(ValueError, match="n-tuple has as many columns"):
        MinedFiles(form="n-tuple").check(BASE)


class Interrupted(Exception):
    pass


def test_what_was_encoded_before_an_interruption_is_not_encoded_again(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsbench.benchmarks.mining.dataset.cache.BLOCK", 16)
    encoded: list[int] = []

    def counting(texts: Any, role: str, prompt: str | None) -> Any:
        if len(encoded) == 3:
            encoded.append(0)
            raise Interrupted
        encoded.append(len(texts))
        return letters(texts)

    model = replace(MODEL, run=counting)

    def once(folder: Path) -> Any:
        cache = EmbeddingCache(tmp_path / "cache")
        return mine_to(folder, Mining(data, BASE, model, cache=cache), MinedFiles())

    with pytest.raises(Interrupted):
        once(tmp_path / "a")
    assert not (tmp_path / "a" / "mined.json").exists()
    once(tmp_path / "a")
    texts = len(np.unique(data.group))
    assert sum(encoded) == texts
    whole, _ = mine_to(tmp_path / "b", Mining(data, BASE, MODEL), MinedFiles())
    assert whole["files"] == json.loads((tmp_path / "a" / "mined.json").read_text())["files"]
    before = (tmp_path / "a" / "mined.json").stat().st_mtime_ns
    assert once(tmp_path / "a")[1]  # found done
    assert (tmp_path / "a" / "mined.json").stat().st_mtime_ns == before


def test_a_broken_cache_file_is_made_anew(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    first = cache.embed(MODEL, ["a", "b"])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    again = EmbeddingCache(tmp_path)
    np.testing.assert_array_equal(again.embed(MODEL, ["a", "b"]), first)
    assert (again.found, again.made) == (0, 1)


def test_prompt_role_weights_and_texts_each_have_their_own_entry(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    roles = replace(MODEL, symmetric=False)
    for model, texts, role, prompt in (
        (roles, ["a"], "query", None),
        (roles, ["a"], "document", None),
        (roles, ["a"], "query", "q: "),
        (roles, ["b"], "query", None),
        (replace(roles, revision="cd" * 20), ["a"], "query", None),
        (replace(roles, how="other library"), ["a"], "query", None),
    ):
        cache.embed(model, texts, role, prompt)
    assert (cache.found, cache.made) == (0, 6)


def test_another_set_in_the_folder_is_not_overwritten(data: TrainingData, tmp_path: Path) -> None:
    mine_to(tmp_path, Mining(data, BASE, MODEL), MinedFiles())
    rows = (tmp_path / "train.jsonl").read_text()
    other = Mining(data, BASE.replace(negatives=1), MODEL)
    with pytest.raises(ValueError, match="holds another mined set"):
        mine_to(tmp_path, other, MinedFiles())
    assert (tmp_path / "train.jsonl").read_text() == rows
    mine_to(tmp_path, other, MinedFiles(), overwrite=True)
    assert len((tmp_path / "train.jsonl").read_text().splitlines()) == data.rows


def test_card_records_settings_and_escapes_what_it_quotes(tmp_path: Path) -> None:
    rows = [
        {"anchor": "a <script>alert(1)</script> | b", "positive": "aa bb"},
        {"anchor": "abc", "positive": "abcd"},
        {"anchor": "xyz", "positive": "xxyz"},
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = read_data(str(tmp_path / "pairs.jsonl"), {})
    made, _ = mine_to(
        tmp_path / "out", Mining(data, BASE.replace(negatives=1), MODEL), MinedFiles()
    )
    text = (tmp_path / "out" / "README.md").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    for piece in ("test/letters", "ab" * 20, data.digest, "| shortage | fewer |", "known_same"):
        assert piece in text
    from datasets import load_dataset

    assert load_dataset(str(tmp_path / "out"))["train"].num_rows == 3
    assert made["files"]["train.jsonl"].startswith("sha256:")


def test_report_counts_by_hand() -> None:
    texts = ("the old cat sat", "a cat", "the old cat sat down", "zebra", "a dog")
    data = pairs_of(texts, [(0, 1), (3, 4)], "four", meaning=np.array([0, 0, 0, 1, 2]))
    mined = MinedSet(
        data=data,
        settings=BASE,
        negatives=np.array([[2, 3], [2, -1]]),
        scores=np.array([[0.9, 0.1], [0.77, np.nan]], np.float32),
        ranks=np.array([[0, 4], [1, -1]]),
        positive_score=np.array([0.5, 0.8], np.float32),
        kept=np.array([True, True]),
        short=1,
        padded=0,
        reasons={},
        source="test",
    )
    found = report(mined)
    assert found["counts"]["negatives"] == 3
    assert found["texts"] == {
        "distinct_negatives": 2,
        "most_often": 2,
        "share_of_the_hundred_most_used": 1.0,
    }
    third = round(1 / 3, 6)
    assert found["false_negatives"] == {
        "known_same": third,
        "above_positive": third,
        "near_positive": round(2 / 3, 6),
        "same_words": third,
        "judge_above_positive": None,
    }
    assert found["difficulty"]["margin"]["q50"] == pytest.approx(0.03)
    assert "four with mined negatives" in card(
        mined,
        {
            "data": {"name": "four", "rows": 2, "texts": 5, "digest": "x"},
            "model": None,
            "settings": {},
            "format": "triplet",
            "scores": False,
            "files": {"train.jsonl": ""},
            "versions": {},
        },
        found,
    )


def test_a_document_that_is_an_anchor_too_can_be_mined(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(
        '{"anchor": "abc", "positive": "abd"}\n{"anchor": "abcc", "positive": "xyz"}\n'
    )
    (tmp_path / "corpus.tsv").write_text("docid\ttext\n1\tABC\n2\tqqq\n")
    data = read_data(str(tmp_path / "pairs.jsonl"), {})
    both, documents = with_corpus(data, tmp_path / "corpus.tsv")
    with pytest.raises(ValueError, match="mine: name a model"):
        mine_set(both, BASE)
    mined = mine_set(both, BASE.replace(negatives=1), model=MODEL, documents=documents)
    assert [both.texts[i] for i in mined.negatives[:, 0]] == ["xyz", "abc"]  # never the anchor


def test_command_line(tmp_path: Path) -> None:
    rows = "question,answer\nthe cat,a cat sat\nthe dog,a dog saw a cat\n"
    pairs = put(tmp_path / "q.csv", rows)
    words = [pairs, "--column", "anchor=question", "--column", "positive=answer"]
    out = tmp_path / "out"
    form = ["--sampler", "bm25", "-o", out, "--format", "flagembedding"]
    done = mine_command(*words, *form)
    assert done.exit_code == 0, done.output
    written = [json.loads(line) for line in (out / "train.jsonl").open()]
    assert written[0] == {"query": "the cat", "pos": ["a cat sat"], "neg": ["a dog saw a cat"]}
    assert "2 rows, 1 negatives" in done.stdout
    made = json.loads((out / "mined.json").read_text())
    assert made["settings"]["negatives"] == 1  # the sampler's
    x = ["-o", tmp_path / "x"]
    for wrong, message in (
        (["--shortage", "drop"], "name a model with --model, or choose --source bm25"),
        (["--source", "bm25"], "say with --shortage"),
        (["--sampler", "bm25", "--column", "anchor"], "cannot read the column 'anchor'"),
        (["--sampler", "bm25", "--negatives", "0"], "'--negatives'"),
        (["--sampler", "bm25", "--format", "n-tuple"], "n-tuple has as many columns"),
    ):
        done = mine_command(*words, *x, *wrong, env={"COLUMNS": "200"})
        assert done.exit_code == 2
        assert message in done.stderr
    assert not (tmp_path / "x").exists()
    assert mine_command(*words, *form, "--negatives", "2", "--overwrite").exit_code == 0
    made = json.loads((out / "mined.json").read_text())
    assert made["settings"]["negatives"] == 2  # what was said
