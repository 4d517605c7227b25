from dataclasses import replace

import pytest
import torch

from nsbench.benchmarks.config import parse_config
from nsbench.benchmarks.encoders import encode_texts, encoders
from nsbench.benchmarks.encoders.static import StaticEncoder
from nsbench.benchmarks.frequent_tokens import most_frequent
from nsbench.benchmarks.matrix import expand, why_skip

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
    encoder.unpooled = most_frequent(encoder, TEXTS, 1)
    without = encode_texts(encoder, TEXTS)
    assert not (abs(whole - without) < 1e-6).all(axis=1).any()
    if name == "static":
        plain = encode_texts(encoder, ["cat sat", "dog sat", "bird"])
        torch.testing.assert_close(torch.from_numpy(without), torch.from_numpy(plain))


def test_a_text_of_frequent_tokens_alone_keeps_them(encoder: StaticEncoder) -> None:
    whole = encode_texts(encoder, ["the", "the sat"])
    encoder.unpooled = most_frequent(encoder, TEXTS, 2)
    torch.testing.assert_close(
        torch.from_numpy(encode_texts(encoder, ["the", "the sat"])), torch.from_numpy(whole)
    )


def test_pooling_by_one_token_is_skipped_with_its_reason() -> None:
    config = parse_config(
        {
            "schema": 1,
            "name": "c",
            "samplers": ["in_batch"],
            "augmentations": ["dropout"],
            "encoders": ["static"],
            "data": ["planted"],
            "seeds": [1],
            "evaluation": {"tasks": ["STSBenchmark"], "frequent_tokens": [4]},
        }
    )
    cell = expand(config)[-1].cell
    assert why_skip(cell) == ""
    cls = replace(cell, encoder=replace(cell.encoder, name="tiny", params={"pooling": "cls"}))
    assert "mean over tokens" in why_skip(cls)
    other = replace(cls, evaluation=replace(cls.evaluation, pooling="mean"))
    assert why_skip(other) == "", "what counts is the pooling of the scored encoder"
