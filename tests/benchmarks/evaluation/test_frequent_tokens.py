from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from running import planned_of, small_matrix

from nsbench.benchmarks.encoders import Encoder, encode_texts, encoders
from nsbench.benchmarks.encoders.static import StaticEncoder
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.evaluation.frequent_tokens import frequent_token_scores, most_frequent
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.export.cell import cell_from
from nsbench.benchmarks.matrix.skip import why_skip
from nsbench.benchmarks.records.cell import Cell, Evaluation

TEXTS = ["the cat sat", "the dog sat", "the bird"]


@pytest.fixture
def encoder() -> StaticEncoder:
    return encoders.make("static", dimension=4).build(TEXTS, 0)


def test_frequent_tokens_are_counted_without_special_ones(encoder: StaticEncoder) -> None:
    tokenizer = encoder.tokenizer
    found = most_frequent(encoder, TEXTS, 2).tolist()
    assert tokenizer.convert_ids_to_tokens(found) == ["the", "sat"]
    tiny = encoders.make("tiny").build(TEXTS, 0)
    assert tiny.special_tokens
    assert not set(most_frequent(tiny, TEXTS, 2).tolist()) & set(tiny.tokenizer.all_special_ids)


@pytest.mark.parametrize("name", ["static", "tiny"])
def test_what_is_left_out_of_the_mean_no_longer_counts(name: str) -> None:
    encoder = encoders.make(name).build(TEXTS, 0)
    whole = encode_texts(encoder, TEXTS)
    without = encode_texts(encoder, TEXTS, unpooled=most_frequent(encoder, TEXTS, 1))
    assert not (abs(whole - without) < 1e-6).all(axis=1).any()
    if name == "static":
        plain = encode_texts(encoder, ["cat sat", "dog sat", "bird"])
        torch.testing.assert_close(torch.from_numpy(without), torch.from_numpy(plain))


def test_a_text_of_frequent_tokens_alone_keeps_them(encoder: StaticEncoder) -> None:
    whole = encode_texts(encoder, ["the", "the sat"])
    found = encode_texts(encoder, ["the", "the sat"], unpooled=most_frequent(encoder, TEXTS, 2))
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(whole))


def model_without(encoder: Encoder, ids: torch.Tensor | None) -> EvaluatedModel:
    def encode(texts: Sequence[str]) -> Any:
        return encode_texts(encoder, texts, unpooled=ids)

    return EvaluatedModel("nsbench/x", "abc", encoder.dimension, encode)


def cell_of_a_plan() -> Cell:
    scored = {"tasks": ["STSBenchmark"], "frequent_tokens": [4]}
    return planned_of(small_matrix(augmentations=["dropout"], evaluation=scored))[-1].cell


def test_pooling_by_one_token_is_skipped_with_its_reason() -> None:
    cell = cell_of_a_plan()
    assert why_skip(cell) == ""
    cls = replace(cell, encoder=replace(cell.encoder, name="tiny", params={"pooling": "cls"}))
    assert "mean over tokens" in why_skip(cls)
    other = replace(cls, evaluation=replace(cls.evaluation, pooling="mean"))
    assert why_skip(other) == "", "what counts is the pooling of the scored encoder"


def test_scores_without_frequent_tokens_on_a_real_task(need_tasks: Callable[..., None]) -> None:
    need_tasks("STSBenchmark")
    loaded = mteb_tasks.load(mteb_tasks.TaskRequest("STSBenchmark"))
    texts = [t for test in loaded.pair_tests for t in test.pairs.sentence1]
    encoder = encoders.make("static", dimension=32).build(texts, 0)
    without = partial(model_without, encoder)
    plain = next(
        s for s in evaluate(without(None), ["STSBenchmark"], geometry=False).scores if s.main
    )
    found = frequent_token_scores(encoder, without, task="STSBenchmark", numbers=[0, 1, 34])
    assert [s.metric for s in found] == ["without_0", "without_1", "without_34"]
    assert not any(s.main for s in found)
    assert found[0].value == plain.value
    assert len({s.value for s in found}) == 3, "each number of tokens gives another mean"
    for k, score in ((1, found[1]), (34, found[2])):
        both = [*texts, *(t for x in loaded.pair_tests for t in x.pairs.sentence2)]
        model = without(most_frequent(encoder, both, k))
        again = evaluate(model, ["STSBenchmark"], geometry=False).scores
        assert score.value == next(s.value for s in again if s.main)


def test_pooling_by_one_token_is_refused() -> None:
    tiny = encoders.make("tiny").build(TEXTS, 0)
    tiny.pooling = "cls"
    with pytest.raises(ValueError, match="pooling is 'cls'"):
        frequent_token_scores(tiny, partial(model_without, tiny), task="STSBenchmark", numbers=[1])


def test_keys_of_cells_that_never_asked_for_it_stay_what_they_were() -> None:
    evaluation = Evaluation(("STS7",), precision="bf16")
    cell = replace(cell_of_a_plan(), evaluation=evaluation)
    assert "frequent_tokens" not in cell.plain()["evaluation"]
    asked = replace(cell, evaluation=replace(evaluation, frequent_tokens=(4, 16)))
    assert asked.plain()["evaluation"]["frequent_tokens"] == [4, 16]
    assert asked.key != cell.key
    for one in (cell, asked):
        assert cell_from(one.plain()).key == one.key
