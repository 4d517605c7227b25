"""A step never waits for its device: with tensors that hold no numbers it runs all the same."""

from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import World, candidates
from nsbench.benchmarks.cell import Budget
from nsbench.benchmarks.context import Known
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders, token_table
from nsbench.benchmarks.extras import Extras
from nsbench.benchmarks.measuring import Measures
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.step import Method, Step
from nsbench.benchmarks.train import batch_of
from nsbench.benchmarks.views import Texts, embed_all, embed_texts
from nsbench.samplers import samplers

CPU = torch.device("cpu")
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("hard", "in_batch", {}),
    ("random", "queue", {"size": 20}),
    ("semi_hard", "memory", {"size": 20, "views": "both"}),
    ("distance_weighted", "corpus", {"shortage": "fewer", "negatives": 2, "depth": 4}),
    ("guided", "in_batch", {}),
    ("mixed", "in_batch", {}),
]


def quiet(name: str, value: float) -> None:
    """Count nothing."""


@pytest.mark.parametrize(("sampler", "pool", "params"), CASES)
def test_law_a_step_and_its_measures_read_nothing_from_the_device(
    sampler: str, pool: str, params: dict[str, Any]
) -> None:
    data = datasets.make("planted", rows=60)()
    encoder = encoders.make("tiny", dimension=16).build(data.texts, 0)
    tokens = token_table(encoder, data.texts, 32, CPU)
    world = World(
        data=data,
        encoder=encoder,
        tokens=tokens,
        device=CPU,
        batch_size=8,
        seed_for=lambda purpose: seed_for(1, purpose),
        embed=lambda model: embed_all(model, tokens, quiet),
        note=quiet,
    )
    method = Method(
        sampler=samplers.make(sampler),
        objective=objectives.make("info_nce"),
        views=([augmentations.make("token_cutoff")], [augmentations.make("dropout")]),
        directions="both",
        budget=Budget(steps=50, batch_size=8),
    )
    known, opened = Known(data, CPU), candidates.make(pool, **params).open(world)
    extras = Extras(method.sampler, world, method.objective)
    make_step, measures = Step(method, world, known, opened, extras), Measures(method, world, known)
    for step in range(3):
        opened.refresh(step)
        extras.refresh(step, 50)
        batch = batch_of(world, method, np.arange(8) + 8 * step, step, opened)
        if step < 2:
            stepped = make_step(batch)
            opened.after_step(torch.cat([batch.texts1.host, batch.texts2.host]), stepped.embeddings)
            measures.add(step, batch, stepped, opened)
    with FakeTensorMode(allow_non_fake_inputs=True):
        stepped = make_step(batch)
        measures.add(20, batch, stepped, opened)
    assert stepped.loss.shape == (16,)
    assert measures.difficulty.steps == [0, 20]


def test_texts_are_as_wide_as_their_longest_and_empty_places_show_the_first() -> None:
    data = datasets.make("planted", rows=60)()
    encoder = encoders.make("tiny", dimension=16).build(data.texts, 0)
    tokens = token_table(encoder, data.texts, 32, CPU)
    numbers = torch.tensor([3, -1, 7])
    texts = Texts.of(tokens, numbers)
    longest = int(tokens.lengths[[3, 0, 7]].max())
    assert longest <= texts.width <= max(longest + 7, tokens.ids.shape[1])
    shown = embed_texts(encoder, tokens, numbers)
    assert torch.equal(shown, embed_texts(encoder, tokens, numbers.clamp(min=0)))
