"""Small trainings for tests, about to begin or run to their end."""

from typing import Any

import torch

from nsbench.benchmarks.augmentations import augmentations, bound
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.train import Recipe, Training
from nsbench.samplers import samplers

CPU = torch.device("cpu")


STEPS = 12


def training(
    encoder: str,
    sampler: Any,
    pool: str = "in_batch",
    params: dict[str, Any] | None = None,
    views: tuple[str, ...] = (),
    objective: Any = "info_nce",
    directions: str = "both",
) -> Training:
    """A training about to begin, on few texts."""
    data = datasets.make("planted", rows=120)()
    made = encoders.make(encoder, dimension=16).build(data.texts, 0)
    augmented = [bound(augmentations.make(name), made) for name in views]
    chosen = samplers.make(sampler) if isinstance(sampler, str) else sampler
    recipe = Recipe(
        sampler=chosen,
        objective=objectives.make(objective) if isinstance(objective, str) else objective,
        views=(augmented, augmented),
        directions=directions,
        budget=Budget(steps=STEPS, batch_size=8, warmup=0.3),
        difficulty_every=3,
        seed_for=lambda purpose: seed_for(1, purpose),
        open_pool=candidates.make(pool, **(params or {})).open,
    )
    return Training(made, data, recipe, CPU)


def finished(under: Training, steps: int = STEPS) -> Trained:
    """Train to the end."""
    if not under.done:
        under.measures.start()
    while under.done < steps:
        under.step()
    return under.measures.trained(under.cost)


def same(left: Training, right: Training) -> None:
    """Expect two trainings that have ended to have done the same, to the bit."""
    one, two = left.measures.trained(left.cost), right.measures.trained(right.cost)
    for name in ("difficulty", "training", "histograms", "probe", "choices"):
        assert getattr(one, name).equals(getattr(two, name)), name
    assert one.cost == two.cost
    states = [t.world.encoder.state_dict() for t in (left, right)]
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def as_they_come(under: Training) -> Training:
    """The same training, its steps made one by one by the code that is recorded otherwise."""
    under.run = under._run
    return under
