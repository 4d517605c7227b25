"""Prompts by role and data set: in training, mining and evaluation, in the key, in no identity."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import Build, planned_of

from nsbench.benchmarks.augmentations import augmentations, bound
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.contrast.views import Texts, view_of
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import encode_texts, encoders, tokenize
from nsbench.benchmarks.encoders._prompts import prompt_for
from nsbench.benchmarks.encoders.pretrained import own_model
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.evaluation.mteb import adapter, tasks
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer
from nsbench.benchmarks.runs.cell_scores import evaluated_model
from tools.plain_mteb import plain_scores

pytest.importorskip("sentence_transformers")

from made_data import drawn_pairs, unit_rows
from made_models import TEXTS, WORDS, edited, local_tasks, pooled
from made_training import method, opened

PROMPTS = {"query": "two dogs and ", "document": "a deep lake ", "STS": "the rain "}
ROWS = 24


def rows() -> TrainingData:
    """Pairs of short texts over the words of the made models; two anchors are equal."""
    made = drawn_pairs(ROWS, WORDS[:20], 4)
    return replace(made, texts=(made.texts[0], made.texts[0].upper(), *made.texts[2:]))


def made(base: Path, **prompts: str) -> Any:
    return encoders.make("transformer", source=str(base), prompts=prompts).build((), 0)


@pytest.mark.parametrize(
    ("data", "role", "found"),
    [
        ("scifact", "query", "of scifact: "),
        ("scifact", "document", "d: "),
        ("quora", "query", "same? "),
        ("quora", "", "same? "),
        ("boats", "query", "q: "),
        ("boats", "", ""),
    ],
)
def test_the_most_specific_prompt_is_taken(data: str, role: str, found: str) -> None:
    prompts = {"query": "q: ", "document": "d: "}
    prompts |= {"scifact-query": "of scifact: ", "quora": "same? "}
    assert prompt_for(prompts, data, role) == found


def test_anchors_and_candidates_are_trained_with_their_prompts(base: Path) -> None:
    data, encoder = rows(), made(base, **PROMPTS)
    training = opened(encoder, data, method(batch_size=ROWS, steps=1))
    first, second = (
        unit_rows(encode_texts(encoder, [PROMPTS[role] + data.texts[i] for i in side]))
        for role, side in (("query", data.anchor), ("document", data.positive))
    )
    training.finish()
    similarity = first @ second.T / training.method.temperature
    same = data.group[data.anchor][:, None] == data.group[data.anchor][None, :]
    similarity[same & ~np.eye(ROWS, dtype=bool)] = -np.inf  # known positives of the equal anchor
    losses = np.log(np.exp(similarity).sum(axis=1)) - np.diag(similarity)
    seen = training.result().training
    assert seen["loss"].to_numpy()[0] == pytest.approx(losses.mean(), abs=1e-4)


def test_prompts_are_no_part_of_what_texts_are(base: Path) -> None:
    counts = []
    for prompts in ({}, PROMPTS):
        training = opened(made(base, **prompts), rows(), method(batch_size=ROWS, steps=2))
        training.finish()
        cost = training.result().cost
        counts.append({k: v for k, v in cost.items() if k.startswith("masked")})
    assert counts[0] == counts[1]
    assert sum(counts[0].values()) > 0


def test_mining_ranks_documents_for_queries(base: Path) -> None:
    data, encoder = rows(), made(base, **PROMPTS)
    settings = {"shortage": "fewer", "depth": 3, "negatives": 1, "refresh": 50}
    pool = candidates.make("corpus", **settings)
    training = opened(encoder, data, method(pool=pool, batch_size=8, steps=1))
    next(iter(training))
    state = training.pool.state()
    fresh = made(base, **PROMPTS)
    asked, stated = (
        unit_rows(encode_texts(fresh, [PROMPTS[role] + t for t in data.texts]))
        for role in ("query", "document")
    )
    for row in range(ROWS):
        known = {*data.texts[:2]} if row < 2 else {data.texts[row]}
        known |= {data.texts[data.positive[r]] for r in ({0, 1} if row < 2 else {row})}
        order = [int(i) for i in np.argsort(-(asked[row] @ stated.T))]
        wanted = [i for i in order if i >= ROWS and data.texts[i] not in known]
        texts = [data.texts[i] for i in state["ids"][row].tolist()]
        assert texts == [data.texts[i] for i in wanted[: len(texts)]]


@pytest.mark.parametrize("name", ["eda_delete", "eda_swap", "eda_insert"])
def test_no_augmentation_of_words_changes_a_prompt(name: str, base: Path) -> None:
    encoder = made(base, **PROMPTS)
    training = opened(encoder, rows(), method(batch_size=8, steps=1))
    table = training.world.asked
    augment = bound(augmentations.make(name, rate=0.9), encoder)
    texts = Texts.of(table, torch.arange(ROWS))
    plain = view_of(encoder, table, texts)
    view = augment(plain, torch.Generator().manual_seed(0))
    assert plain.head == 1 + table.prompt == 4
    assert torch.equal(view.ids[:, : plain.head], plain.ids[:, : plain.head])
    assert not torch.equal(view.ids, plain.ids)


def test_evaluation_and_export_take_the_same_prompts(
    base: Path, small: Build, tmp_path: Path
) -> None:
    asked = local_tasks(tmp_path)
    raw = small(encoders=[{"name": str(base), "prompts": PROMPTS}])
    (planned,) = planned_of(raw)
    encoder = made(base, **PROMPTS)
    found = evaluate(evaluated_model(planned.cell, encoder, "0" * 40), asked, geometry=False)
    ours = {s.task: s.value for s in found.scores if s.main}
    bare = evaluate(evaluated_model(planned.cell, made(base), "0" * 40), asked, geometry=False)
    assert ours != {s.task: s.value for s in bare.scores if s.main}
    loaded = [tasks.load(task) for task in asked]
    with adapter.contained():
        model = to_sentence_transformer(encoder)
        theirs = plain_scores(model, [task.task for task in loaded])
    assert ours == pytest.approx({k: theirs[k] for k in ours}, abs=1e-5)
    texts = [t for t in TEXTS if t]
    mined = own_model(encoder, "nsbench/x", "0" * 40)
    for role, ask in (("query", model.encode_query), ("document", model.encode_document)):
        assert np.abs(unit_rows(mined.encode(texts, role)) - unit_rows(ask(texts))).max() < 1e-5


def test_prompts_are_in_the_key_and_none_leave_it_as_it_was(base: Path, small: Build) -> None:
    def key(**given: Any) -> str:
        (planned,) = planned_of(small(encoders=[{"name": str(base)} | given]))
        return planned.cell.key

    keys = {key(), key(prompts=PROMPTS), key(prompts={"query": "a "}), key(lora={"r": 2})}
    assert len(keys) == 4
    assert key() == key(prompts={}) == key(lora={}, train="all", weights="fp32")


def test_prompts_that_cannot_be_honoured_are_refused(tmp_path: Path) -> None:
    pooled("mean")(tmp_path / "model")
    edited(tmp_path / "model" / "1_Pooling" / "config.json", include_prompt=False)
    spec = encoders.make("transformer", source=str(tmp_path / "model"), prompts=PROMPTS)
    with pytest.raises(ValueError, match="include_prompt is false"):
        spec.check()
    replace(spec, prompts={}).check()
    for wrong in ("query: ", {"query": 3}, ["a"]):
        with pytest.raises(ValueError, match="legal: a table"):
            encoders.make("transformer", source="x", prompts=wrong)
    static = encoders.make("static", prompts={"query": "a b "}).build(("a b c",), 0)
    assert tokenize(static, ["a b c"], 9) == [[4, 5, 6]]
    assert static.prompts == {"query": "a b "}
