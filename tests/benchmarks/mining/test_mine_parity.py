"""The same negatives as `sentence_transformers.util.mine_hard_negatives`, option by option."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.data._rows import Rows
from nsbench.benchmarks.encoders import _sources
from nsbench.benchmarks.encoders.pretrained import TextModel, load_model
from nsbench.benchmarks.mining.dataset import MinedSet, MineSettings, mine_set
from nsbench.benchmarks.mining.dataset.formats import write_set
from nsbench.benchmarks.mining.dataset.rescore import Rescorer
from nsbench.benchmarks.mining.settings import MinedFiles

sentence_transformers = pytest.importorskip("sentence_transformers")
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved StaticEmbedding model with MiniLM's token table, and prompts of its own."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from nsbench.benchmarks.encoders.static import _token_table

    source = _sources.locate(MINILM)
    from tokenizers import Tokenizer

    table = _token_table(source).numpy()
    module = StaticEmbedding(
        Tokenizer.from_file(str(source / "tokenizer.json")), embedding_weights=table
    )
    model = sentence_transformers.SentenceTransformer(
        modules=[module], prompts={"ask": "which one: ", "text": "this one: "}
    )
    path = tmp_path_factory.mktemp("models") / "static"
    model.save(str(path), create_model_card=False)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> TextModel:
    return load_model(str(folder))


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Stored pairs of the planted generator; every third anchor has a second positive."""
    from nsbench.benchmarks.data import datasets

    made = datasets.make("planted", rows=90, seed=5)()
    rows = Rows()
    text = [made.texts[i] for i in made.anchor], [made.texts[i] for i in made.positive]
    for i, (anchor, positive) in enumerate(zip(*text, strict=True)):
        rows.add(anchor, positive)
        if i % 3 == 0:
            rows.add(anchor, text[1][(i + 7) % len(text[1])])
    return rows.data("stored pairs", "")


@dataclass
class Theirs:
    """Rows of their data set by (anchor, positive), scores left in order."""

    negatives: dict[tuple[str, str], list[str]]
    scores: dict[tuple[str, str], list[float]]
    rows: Any


def theirs(data: TrainingData, model: TextModel, **options: Any) -> Theirs:
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    pairs = Dataset.from_dict(
        {
            "anchor": [data.texts[i] for i in data.anchor],
            "positive": [data.texts[i] for i in data.positive],
        }
    )
    options = {"output_scores": True, "verbose": False, "output_format": "triplet"} | options
    found = mine_hard_negatives(pairs, model.loaded, **options)
    negatives, scores = defaultdict(list), defaultdict(list)
    if options["output_format"] == "triplet" and options["output_scores"]:
        for row in found:
            key = row["anchor"], row["positive"]
            negatives[key].append(row["negative"])
            scores[key].append(row["scores"][1])
    return Theirs(dict(negatives), dict(scores), found)


def ours(mined: MinedSet) -> tuple[dict[Any, list[str]], dict[Any, list[float]]]:
    negatives: dict[Any, list[str]] = {}
    scores: dict[Any, list[float]] = {}
    data = mined.data
    for row in mined.kept.nonzero()[0]:
        key = data.texts[data.anchor[row]], data.texts[data.positive[row]]
        there = mined.negatives[row] >= 0
        if there.any():
            negatives[key] = [data.texts[i] for i in mined.negatives[row][there]]
            scores[key] = mined.scores[row][there].tolist()
    return negatives, scores


def expect_equal(mined: MinedSet, other: Theirs) -> int:
    """The same rows with the same negatives in the same order, up to exact ties of the score."""
    negatives, scores = ours(mined)
    assert negatives.keys() == other.negatives.keys()
    compared = 0
    for key, texts in negatives.items():
        np.testing.assert_allclose(scores[key], other.scores[key], atol=2e-6)
        for i, (one, two) in enumerate(zip(texts, other.negatives[key], strict=True)):
            tied = np.isclose(scores[key], scores[key][i], atol=2e-6).sum() > 1
            assert one == two or tied, (key, i)
            compared += one == two
    return compared


BASE = MineSettings(shortage="fewer", negatives=3, against="lowest", range_max=400)
# Option by option: their keywords, ours.
EQUAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({"range_max": 400}, {}),
    "num_negatives": ({"num_negatives": 7, "range_max": 400}, {"negatives": 7}),
    "range_max": ({"range_max": 4}, {"range_max": 4}),
    "range_min": ({"range_min": 5, "range_max": 400}, {"range_min": 5}),
    "range_min and range_max": ({"range_min": 5, "range_max": 8}, {"range_min": 5, "range_max": 8}),
    "range_max left out": ({}, {"range_max": 0}),
    "max_score": ({"max_score": 0.8, "range_max": 400}, {"max_score": 0.8}),
    "min_score": ({"min_score": 0.9, "range_max": 400}, {"min_score": 0.9}),
    "both scores": (
        {"min_score": 0.7, "max_score": 0.9, "range_max": 400},
        {"min_score": 0.7, "max_score": 0.9},
    ),
    "absolute_margin": ({"absolute_margin": 0.05, "range_max": 400}, {"margin": 0.05}),
    "absolute_margin 0": ({"absolute_margin": 0.0, "range_max": 400}, {"margin": 0.0}),
    "relative_margin": ({"relative_margin": 0.05, "range_max": 400}, {"relative_margin": 0.05}),
    "query_prompt": (
        {"query_prompt": "query: ", "range_max": 400},
        {"query_prompt": "query: "},
    ),
    "corpus_prompt": (
        {"corpus_prompt": "passage: ", "range_max": 400},
        {"corpus_prompt": "passage: "},
    ),
    "prompt names": (
        {"query_prompt_name": "ask", "corpus_prompt_name": "text", "range_max": 400},
        {"query_prompt": "which one: ", "corpus_prompt": "this one: "},
    ),
    "batch sizes": ({"batch_size": 7, "faiss_batch_size": 13, "range_max": 400}, {}),
}


FAISS = {"defaults", "absolute_margin", "range_max left out"}  # the other ones are slow tests


@pytest.mark.parametrize(
    ("option", "faiss"),
    [
        pytest.param(o, f, marks=pytest.mark.slow if f and o not in FAISS else ())
        for o in EQUAL
        for f in (False, True)
    ],
)
def test_equal_to_theirs(data: TrainingData, model: TextModel, option: str, faiss: bool) -> None:
    their, our = EQUAL[option]
    other = theirs(data, model, use_faiss=faiss, **their)
    settings = BASE.replace(backend="faiss" if faiss else "torch", **our)
    compared = expect_equal(mine_set(data, settings, model=model), other)
    assert compared >= 0.9 * sum(map(len, other.negatives.values())) > 0


@pytest.mark.slow
@pytest.mark.parametrize("faiss", [False, True])
def test_a_transformer_is_equal(data: TrainingData, faiss: bool) -> None:
    minilm = load_model(str(_sources.locate(MINILM)))
    other = theirs(data, minilm, relative_margin=0.05, range_max=400, use_faiss=faiss)
    settings = BASE.replace(relative_margin=0.05, backend="faiss" if faiss else "torch")
    expect_equal(mine_set(data, settings, model=minilm), other)


def test_a_corpus_apart_is_equal(data: TrainingData, model: TextModel, tmp_path: Path) -> None:
    from nsbench.benchmarks.data import datasets
    from nsbench.benchmarks.mining.dataset.write import with_corpus

    more = datasets.make("planted", rows=60, seed=9)().texts
    more = [*more, *(data.texts[i] for i in data.anchor[:4])]  # an anchor can be a document
    (tmp_path / "corpus.txt").write_text("\n".join(more))
    both, documents = with_corpus(data, tmp_path / "corpus.txt")
    other = theirs(data, model, corpus=more, range_max=600)
    # They let an anchor's own text be its negative, we do not.
    for key, texts in other.negatives.items():
        if key[0] in texts:
            other.scores[key] = []
            other.negatives[key] = []
    mined = mine_set(both, BASE.replace(range_max=600), model=model, documents=documents)
    negatives, scores = ours(mined)
    left = {k: v for k, v in other.negatives.items() if v}
    assert len(left) >= len(negatives) - 8
    for key, texts in left.items():
        np.testing.assert_allclose(scores[key], other.scores[key], atol=2e-6)
        assert negatives[key] == texts or len(set(np.round(scores[key], 5))) < 3
    anchors = {data.texts[i] for i in data.anchor[:4]}
    assert any(anchors & set(n) for n in negatives.values())


def test_a_cross_encoder_is_equal(data: TrainingData, model: TextModel) -> None:
    """A function stands in for the network's weights; both sides call it on the same pairs."""
    calls: list[int] = []

    def score(pairs: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        calls.append(len(pairs))
        common = [len(set(a.split()) & set(b.split())) for a, b in pairs]
        own = [crc32(b.encode()) / 2**33 for _, b in pairs]  # no two texts tie
        return np.array([c + o for c, o in zip(common, own, strict=True)], np.float32)

    class CrossEncoder:
        def predict(self, pairs: Any, **_: Any) -> Any:
            import torch

            return torch.from_numpy(score(pairs))

    wide = len(data.texts) + 4  # the windows' edges are not the same, so take all
    other = theirs(data, model, cross_encoder=CrossEncoder(), max_score=4.0, range_max=wide)
    assert calls
    mined = mine_set(
        data,
        BASE.replace(max_score=4.0, range_max=wide),
        model=model,
        rescorer=Rescorer("words", "0" * 40, score),
    )
    expect_equal(mined, other)


@pytest.mark.parametrize("form", ["triplet", "n-tuple", "labeled-pair", "labeled-list"])
@pytest.mark.parametrize("scores", [False, True])
def test_output_formats_are_equal(
    data: TrainingData, model: TextModel, tmp_path: Path, form: str, scores: bool
) -> None:
    from datasets import load_dataset

    options = {"relative_margin": 0.05, "range_max": 400}
    other = theirs(data, model, output_format=form, output_scores=scores, **options).rows
    shortage = "drop" if form == "n-tuple" else "fewer"
    settings = BASE.replace(relative_margin=0.05, shortage=shortage)
    mined = mine_set(data, settings, model=model)
    write_set(mined, tmp_path, MinedFiles(form=form, scores=scores))
    mine = load_dataset("json", data_files=str(tmp_path / "train.jsonl"), split="train")
    if scores and form.startswith("labeled"):  # theirs cannot be told from positives any more
        (label,) = set(mine.column_names) & {"label", "labels"}
        mine = mine.remove_columns(label)
    assert mine.column_names == other.column_names
    rows, numbers = rows_of(mine)
    other_rows, other_numbers = rows_of(other)
    assert rows == other_rows
    np.testing.assert_allclose(numbers, other_numbers, atol=2e-6)
    assert (len(numbers) > 0) == (scores or form.startswith("labeled"))


def rows_of(table: Any) -> tuple[list[Any], list[float]]:
    """Texts of all rows, whatever their order, and all numbers in the order of the texts."""

    def split(row: Any) -> tuple[list[str], list[float]]:
        flat = [x for v in row.values() for x in (v if isinstance(v, list) else [v])]
        return [x for x in flat if isinstance(x, str)], [x for x in flat if not isinstance(x, str)]

    found = sorted(map(split, table))
    return [texts for texts, _ in found], [x for _, numbers in found for x in numbers]


def test_random_draws_from_the_same_candidates(data: TrainingData, model: TextModel) -> None:
    other = theirs(data, model, sampling_strategy="random", range_max=3)
    mined = mine_set(data, BASE.replace(pick="random", range_max=3), model=model)
    expect_equal(mined, other)  # three of three
    drawn = [
        mine_set(data, BASE.replace(pick="random", range_max=20, seed=s), model=model)
        for s in (1, 1, 2)
    ]
    assert (drawn[0].negatives == drawn[1].negatives).all()  # theirs has no seed
    assert (drawn[0].negatives != drawn[2].negatives).any()
    assert drawn[0].ranks.max() <= 19
    assert (np.diff(drawn[0].ranks, axis=1) > 0).all()


def test_range_min_with_a_filter_differs(data: TrainingData, model: TextModel) -> None:
    """They skip the first places of what is left by the filters, we those of the ranking."""
    other = theirs(data, model, range_min=5, max_score=0.8, range_max=400)
    mined = mine_set(data, BASE.replace(range_min=5, max_score=0.8), model=model)
    negatives, _ = ours(mined)
    assert negatives != other.negatives
    assert mined.ranks[mined.ranks >= 0].min() >= 5
    whole, _ = ours(mine_set(data, BASE.replace(max_score=0.8, negatives=8), model=model))
    for key, texts in other.negatives.items():
        assert set(texts) <= set(whole[key][5:8])


def test_multiple_positives_against_each_rows_own(data: TrainingData, model: TextModel) -> None:
    """Theirs takes the lowest positive of an anchor for all of its rows; ``own`` takes each's."""
    low = mine_set(data, BASE.replace(margin=0.0), model=model)
    own = mine_set(data, BASE.replace(margin=0.0, against="own"), model=model)
    assert (own.scores[own.negatives >= 0] <= 1).all()
    margin = own.positive_score[:, None] - own.scores
    assert np.nanmin(margin) >= 0
    assert (own.negatives != low.negatives).any()


def test_two_checkpoints_in_one_cache_keep_their_own_embeddings(
    data: TrainingData, folder: Path, tmp_path: Path
) -> None:
    """R10: theirs answers for the second local checkpoint with the first one's embeddings."""
    import shutil

    from safetensors.numpy import load_file, save_file

    from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache

    other = tmp_path / "again" / "static"  # the same folder name
    shutil.copytree(folder, other)
    weights = load_file(other / "model.safetensors")
    noise = np.random.default_rng(0).normal(size=weights["embedding.weight"].shape)
    weights["embedding.weight"] = (weights["embedding.weight"] + 0.1 * noise).astype(np.float32)
    save_file(weights, other / "model.safetensors")
    first, second = load_model(str(folder)), load_model(str(other))
    assert first.name == second.name
    assert first.revision != second.revision
    cache = EmbeddingCache(tmp_path / "cache")
    a = mine_set(data, BASE, model=first, cache=cache)
    b = mine_set(data, BASE, model=second, cache=cache)
    assert cache.found == 0
    np.testing.assert_array_equal(b.scores, mine_set(data, BASE, model=second).scores)
    assert not np.allclose(a.scores, b.scores, atol=1e-3)
    again = EmbeddingCache(tmp_path / "cache")
    c = mine_set(data, BASE, model=load_model(str(folder)), cache=again)
    assert again.made == 0
    np.testing.assert_array_equal(a.scores, c.scores)


def test_every_option_of_theirs_has_a_row_in_the_docs() -> None:
    """And what the docs call equal without a reservation is compared by a test here."""
    import inspect

    from sentence_transformers.util import mine_hard_negatives

    text = (Path(__file__).resolve().parents[3] / "docs" / "mining.md").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)", row[0])}
    options = inspect.signature(mine_hard_negatives).parameters
    assert set(options) - {"deprecated_kwargs"} <= named
    compared = {key for their, _ in EQUAL.values() for key in their}
    equal = {re.findall(r"`(\w+)", row[0])[0] for row in rows if row[-1].startswith("equal |")}
    elsewhere = {"dataset", "model", "anchor_column_name", "num_negatives", "sampling_strategy"}
    assert equal - elsewhere - compared <= {"use_faiss", "output_scores", "output_format"}
