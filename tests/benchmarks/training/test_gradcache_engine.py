"""The engine with `chunk`: the same training, counted as the two passes it takes."""

import numpy as np
import pytest
import torch

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.train import Recipe, train
from nsbench.samplers import samplers


def trained(chunk: int, encoder_name: str) -> tuple[Trained, Encoder]:
    texts = tuple(f"word{i % 7} word{i % 5} word{i % 11}" for i in range(40))
    rows = np.arange(20)
    data = TrainingData("t", texts, rows, rows + 20, rows[:, None] * 0 + 39)
    encoder: Encoder = encoders.make(encoder_name, dimension=8).build(texts, 0)
    recipe = Recipe(
        sampler=samplers.make("in_batch"),
        objective=objectives.make("info_nce", temperature=0.1),
        views=((), ()),
        directions="one",
        budget=Budget(steps=5, batch_size=8, learning_rate=0.01, chunk=chunk),
        difficulty_every=2,
        seed_for=lambda purpose: seed_for(0, purpose),
        open_pool=candidates.make("corpus", shortage="fewer").open,
    )
    with torch.random.fork_rng():
        return train(encoder, data, recipe, torch.device("cpu")), encoder


@pytest.mark.parametrize("name", ["static", "tiny"])
def test_chunked_training_is_the_plain_one(name: str) -> None:
    plain, one = trained(0, name)
    chunked, two = trained(3, name)
    np.testing.assert_allclose(plain.training["loss"], chunked.training["loss"], rtol=1e-4)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert "passes_repeated" not in plain.cost
    assert chunked.cost["passes_repeated"] == 5 * (8 + 8 + 8 + 8)
    assert chunked.cost["passes"] == plain.cost["passes"] + 160
