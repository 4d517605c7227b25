"""Lengths by role in training, mining, evaluation, export and the key; guides in their roles."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import Build

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import encode_texts, encoders
from nsbench.benchmarks.encoders.pretrained import load_model, own_model
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.evaluation.mteb import adapter, tasks
from nsbench.benchmarks.export.sentence_transformer import save, to_sentence_transformer
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.mining.guides import guide_embeddings, guide_fingerprint, queries_of
from nsbench.benchmarks.runs.cell_scores import evaluated_model
from tools.plain_mteb import plain_scores

pytest.importorskip("sentence_transformers")

from made_data import drawn_pairs, unit_rows
from made_models import WORDS, edited, local_tasks, pooled
from made_training import method, opened

LENGTHS = {"query": 3, "document": 5}
PROMPTS = {"query": "two dogs ", "document": "a lake "}
ROWS = 24


def rows() -> TrainingData:
    """Pairs of texts of eight words of the made models: all are cut."""
    return drawn_pairs(ROWS, WORDS[:20], 8)


def made(base: Path, **lengths: int) -> Any:
    return encoders.make("transformer", source=str(base), lengths=lengths).build((), 0)


def test_anchors_and_candidates_are_cut_by_their_role_in_training(base: Path) -> None:
    data, encoder = rows(), made(base, **LENGTHS)
    training = opened(encoder, data, method(batch_size=ROWS, steps=1))
    assert training.world.asked.ids.shape[1] == 3
    assert training.world.tokens.ids.shape[1] == 5
    first, second = (
        unit_rows(encode_texts(encoder, [data.texts[i] for i in side], max_length=length))
        for side, length in ((data.anchor, 3), (data.positive, 5))
    )
    training.finish()
    similarity = first @ second.T / training.method.temperature
    losses = np.log(np.exp(similarity).sum(axis=1)) - np.diag(similarity)
    seen = training.result().training
    assert seen["loss"].to_numpy()[0] == pytest.approx(losses.mean(), abs=1e-4)


def test_the_budget_caps_every_role(base: Path) -> None:
    once = method(batch_size=ROWS, steps=1, max_length=4)
    training = opened(made(base, document=5), rows(), once)
    assert training.world.queries is None
    assert training.world.tokens.ids.shape[1] == 4


def test_mining_ranks_cut_documents_for_cut_queries(base: Path) -> None:
    data, encoder = rows(), made(base, **LENGTHS)
    settings = {"shortage": "fewer", "depth": 3, "negatives": 1, "refresh": 50}
    pool = candidates.make("corpus", **settings)
    training = opened(encoder, data, method(pool=pool, batch_size=8, steps=1))
    next(iter(training))
    fresh = made(base)
    asked, stated = (unit_rows(encode_texts(fresh, data.texts, max_length=n)) for n in (3, 5))
    for row in range(ROWS):
        order = [int(i) for i in np.argsort(-(asked[row] @ stated.T))]
        wanted = [i for i in order if i >= ROWS and i != data.positive[row]][:3]
        assert training.pool.state()["ids"][row].tolist() == wanted


def test_evaluation_and_export_cut_alike_and_an_export_is_read_back(
    base: Path, small: Build, tmp_path: Path
) -> None:
    asked = local_tasks(tmp_path)
    raw = small(encoders=[{"name": str(base), "lengths": LENGTHS}])
    (planned,) = expand(parse_config(raw))
    encoder = made(base, **LENGTHS)
    found = evaluate(evaluated_model(planned.cell, encoder, "0" * 40), asked, geometry=False)
    ours = {s.task: s.value for s in found.scores if s.main}
    model = to_sentence_transformer(encoder)
    with adapter.contained():
        theirs = plain_scores(model, [tasks.load(task).task for task in asked])
    assert ours == pytest.approx({k: theirs[k] for k in ours}, abs=1e-5)
    texts = rows().texts
    mined = own_model(encoder, "nsbench/x", "0" * 40)
    assert not mined.symmetric
    for role, ask in (("query", model.encode_query), ("document", model.encode_document)):
        wanted = unit_rows(ask(list(texts)))
        assert np.abs(unit_rows(mined.encode(texts, role)) - wanted).max() < 1e-5
    assert np.abs(mined.encode(texts, "query") - mined.encode(texts, "document")).max() > 1e-3
    save(model, tmp_path / "saved", "a card")
    again = made(tmp_path / "saved")
    assert dict(again.lengths) == LENGTHS
    loaded = load_model(str(tmp_path / "saved"))
    assert not loaded.symmetric
    for role in LENGTHS:
        assert np.abs(loaded.encode(texts, role) - mined.encode(texts, role)).max() < 1e-5
    shorter = load_model(str(tmp_path / "saved"), max_length=3)
    cut = shorter.encode(texts, "document")
    assert np.abs(cut - encode_texts(encoder, texts, max_length=3)).max() < 1e-5


def test_lengths_are_in_the_key_and_none_leave_it_as_it_was(base: Path, small: Build) -> None:
    def key(**given: Any) -> str:
        (planned,) = expand(parse_config(small(encoders=[{"name": str(base)} | given])))
        return planned.cell.key

    assert len({key(), key(lengths={"query": 3}), key(lengths=LENGTHS)}) == 3
    assert key() == key(lengths={})


def test_lengths_that_cannot_be_honoured_are_refused(base: Path, tmp_path: Path) -> None:
    for wrong in (64, {"query": 1}, {"query": "64"}, {"anchor": 64}, {"query": True}):
        with pytest.raises(ValueError, match="legal: a table such as"):
            encoders.make("static", lengths=wrong)
    with pytest.raises(ValueError, match="document is 300, but the encoder reads 256 tokens"):
        encoders.make("static", lengths={"document": 300})
    spec = encoders.make("transformer", source=str(base), lengths={"query": 100_000})
    with pytest.raises(ValueError, match="query is 100000, but the encoder reads"):
        spec.check()
    table = encoders.make("static", lengths={"query": 8}).build(("a b c",), 0)
    with pytest.raises(ValueError, match="one length for a static table"):
        to_sentence_transformer(table)
    pooled("mean")(tmp_path / "odd")
    edited(tmp_path / "odd" / "sentence_bert_config.json", query_length="long")
    with pytest.raises(ValueError, match="query_length is 'long'; legal: a whole number"):
        encoders.make("transformer", source=str(tmp_path / "odd")).check()


def test_a_guide_reads_each_text_in_its_role(tmp_path: Path) -> None:
    pooled("mean")(tmp_path / "guide")
    guide, plain = str(tmp_path / "guide"), guide_fingerprint(str(tmp_path / "guide"))
    settings = tmp_path / "guide" / "config_sentence_transformers.json"
    edited(settings, prompts=PROMPTS | {"other": "x"})
    assert guide_fingerprint(guide) != plain
    given = np.full((ROWS, 1), -1, np.int64)
    given[0] = 1  # a text that is an anchor and a document: a document
    data = replace(rows(), negatives=given)
    asked = queries_of(data)
    assert asked[:3].tolist() == [True, False, True]
    assert not asked[ROWS:].any()
    encoder = encoders.make("static", dimension=8).build(data.texts, 0)
    training = opened(encoder, data, method(batch_size=8, steps=1))
    found = guide_embeddings(training.world, guide)
    bare = encoders.make("transformer", source=guide).build((), 0)
    said = [
        PROMPTS["query" if q else "document"] + t for q, t in zip(asked, data.texts, strict=True)
    ]
    wanted = torch.from_numpy(unit_rows(encode_texts(bare, said))).float()
    assert (found - wanted).abs().max() < 1e-5
    edited(settings, prompts={"query": "", "document": ""})
    assert guide_fingerprint(guide).split()[0] == guide_fingerprint(guide)
