"""Small trainings for tests: opened, or run to their end."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from nsbench.benchmarks.augmentations import Augmentation, augmentations, bound
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.contrast.context import Contrast, Known, mask_candidates
from nsbench.benchmarks.contrast.directions import Directions
from nsbench.benchmarks.contrast.views import embed_all
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.encoders import Encoder, encoders, token_table
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.step import Method
from nsbench.benchmarks.training.train import Training
from nsbench.samplers import SimilarityContext, samplers

CPU = torch.device("cpu")
STEPS = 12


def method(
    sampler: Any = "in_batch",
    *,
    objective: Any = "info_nce",
    pool: Any = "in_batch",
    views: tuple[Sequence[Augmentation], Sequence[Augmentation]] = ((), ()),
    directions: str | Directions = "one",
    **budget: Any,
) -> Method:
    """How steps are made; sampler, objective and pool by name or as objects."""
    return Method(
        sampler=samplers.make(sampler) if isinstance(sampler, str) else sampler,
        objective=objectives.make(objective) if isinstance(objective, str) else objective,
        views=views,
        pool=candidates.make(pool) if isinstance(pool, str) else pool,
        directions=directions,
        budget=Budget(**{"batch_size": 8} | budget),
    )


def opened(
    encoder: Encoder, data: TrainingData, made: Method, *, every: int = 2, seed: int = 1
) -> Training:
    """A training on the CPU about to begin."""
    return Training(
        encoder, data, made, CPU, seed_for=lambda purpose: seed_for(seed, purpose), every=every
    )


def trained(
    encoder: Encoder, data: TrainingData, made: Method, *, every: int = 2, seed: int = 1
) -> Trained:
    """What a whole training leaves; the process's random numbers stay as they were."""
    with torch.random.fork_rng():
        return opened(encoder, data, made, every=every, seed=seed).finish()


def training(
    encoder: str,
    sampler: Any,
    pool: str = "in_batch",
    params: dict[str, Any] | None = None,
    views: tuple[str, ...] = (),
    objective: Any = "info_nce",
    directions: Any = "both",
) -> Training:
    """A training about to begin, on few texts."""
    data = datasets.make("planted", rows=120)()
    made = encoders.make(encoder, dimension=16).build(data.texts, 0)
    augmented = [bound(augmentations.make(name), made) for name in views]
    chosen = method(
        sampler,
        objective=objective,
        pool=candidates.make(pool, **(params or {})),
        views=(augmented, augmented),
        directions=directions,
        steps=STEPS,
        warmup=0.3,
    )
    return opened(made, data, chosen, every=3)


def context_of(contrast: Contrast, data: TrainingData) -> SimilarityContext:
    """The context of a laid-out batch."""
    return SimilarityContext(
        similarity=contrast.anchors @ contrast.columns.T,
        positive=contrast.positive,
        negative_mask=mask_candidates(contrast, Known(data, CPU)).negative,
        anchors=contrast.anchors,
        candidates=contrast.columns,
    )


def world_of(
    encoder: Encoder,
    data: TrainingData,
    *,
    batch_size: int = 8,
    seed: int = 1,
    costs: dict[str, float] | None = None,
) -> World:
    """A cell's world on the CPU; what it notes is added to ``costs``."""
    tokens = token_table(encoder, data.texts, 16, CPU)
    cost = {} if costs is None else costs

    def note(name: str, value: float) -> None:
        cost[name] = cost.get(name, 0.0) + value

    return World(
        data=data,
        encoder=encoder,
        tokens=tokens,
        device=CPU,
        batch_size=batch_size,
        seed_for=lambda purpose: seed_for(seed, purpose),
        embed=lambda model, tokens=tokens: embed_all(model, tokens, lambda name, value: None),
        note=note,
    )


def same(left: Training, right: Training) -> None:
    """Expect two trainings that have ended to have done the same, to the bit."""
    one, two = left.result(), right.result()
    for name in ("difficulty", "training", "histograms", "probe", "choices", "texts"):
        assert getattr(one, name).equals(getattr(two, name)), name
    assert one.cost == two.cost
    for module in (lambda t: t.world.encoder, lambda t: t.make_step.numbers):
        states = (module(t).state_dict().values() for t in (left, right))
        assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def unbroken(begun: Callable[[], Training], after: int) -> Training:
    """A whole training; one that is resumed after some steps is expected to be the same."""
    whole, first, second = begun(), begun(), begun()
    whole.finish()
    for _, _step in zip(range(after), first, strict=False):
        pass
    second.load(first.state())
    second.finish()
    same(second, whole)
    return whole


def one_by_one(under: Training) -> Training:
    """The same training, its steps made one by one by the code that is otherwise recorded."""
    under.run = under._run
    return under
