"""The engine with `chunk`: the same training, counted as the two passes it takes."""

import numpy as np
import pytest
import torch
from made_training import method, trained

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.training.measures import Trained


def by_chunks(chunk: int, encoder_name: str) -> tuple[Trained, Encoder]:
    texts = tuple(f"word{i % 7} word{i % 5} word{i % 11}" for i in range(40))
    rows = np.arange(20)
    data = TrainingData("t", texts, rows, rows + 20, rows[:, None] * 0 + 39)
    encoder: Encoder = encoders.make(encoder_name, dimension=8).build(texts, 0)
    made = method(
        objective=objectives.make("info_nce", temperature=0.1),
        pool=candidates.make("corpus", shortage="fewer"),
        steps=5,
        learning_rate=0.01,
        chunk=chunk,
    )
    return trained(encoder, data, made, seed=0), encoder


@pytest.mark.parametrize("name", ["static", "tiny"])
def test_chunked_training_is_the_plain_one(name: str) -> None:
    plain, one = by_chunks(0, name)
    chunked, two = by_chunks(3, name)
    np.testing.assert_allclose(plain.training["loss"], chunked.training["loss"], rtol=1e-4)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert "passes_repeated" not in plain.cost
    assert chunked.cost["passes_repeated"] == 5 * (8 + 8 + 8 + 8)
    assert chunked.cost["passes"] == plain.cost["passes"] + 160
