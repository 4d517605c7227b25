"""The training loop: one page, to be read from top to bottom.

What a step is, `nsbench.benchmarks.step` says; what is measured, `nsbench.benchmarks.measuring`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.benchmarks.batches import feed_for
from nsbench.benchmarks.candidates import OpenPool, World
from nsbench.benchmarks.context import Known, owners
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, token_table
from nsbench.benchmarks.extras import Extras
from nsbench.benchmarks.measuring import Measures, Trained
from nsbench.benchmarks.optimise import schedule
from nsbench.benchmarks.step import Batch, Method, Step
from nsbench.benchmarks.views import Texts, embed_all, on_device


@dataclass(frozen=True)
class Recipe(Method):
    """What one training run is made of.

    Attributes:
        difficulty_every: Steps between measurements.
        seed_for: Gives the seed of a purpose word.
        open_pool: Starts the candidate pool.
        look: Called as ``look(step)`` after each step, for checkpoint choice and progress.
        tokens_key: Says what tokenizer and texts these are; see `token_table`.
    """

    difficulty_every: int = 10
    seed_for: Callable[[str], int] = field(kw_only=True)
    open_pool: Callable[[World], OpenPool] = field(kw_only=True)
    look: Callable[[int], None] = lambda step: None
    tokens_key: str = ""


def train(encoder: Encoder, data: TrainingData, recipe: Recipe, device: torch.device) -> Trained:
    """Train an encoder in place.

    Args:
        encoder: On ``device`` already.
        data: Training rows.
        recipe: Everything else.
        device: Where tensors live.

    Raises:
        ValueError: If the data has fewer rows than one batch.
        DivergedError: If a loss is not finite; seen when losses are read out.
    """
    budget = recipe.budget
    cost: dict[str, float] = {}

    def note(name: str, value: float) -> None:
        cost[name] = cost.get(name, 0.0) + value

    tokens = token_table(encoder, data.texts, budget.max_length, device, key=recipe.tokens_key)
    known = Known(data, device)
    world = World(
        data=data,
        encoder=encoder,
        tokens=tokens,
        device=device,
        batch_size=budget.batch_size,
        seed_for=recipe.seed_for,
        embed=lambda model: embed_all(model, tokens, note),
        note=note,
    )
    torch.manual_seed(recipe.seed_for("dropout"))  # the encoder's own dropout layers
    pool = recipe.open_pool(world)
    extras = Extras(recipe.sampler, world, recipe.objective)
    feed = feed_for(recipe.sampler, world)
    make_step = Step(recipe, world, known, pool, extras)
    measures = Measures(recipe, world, known, recipe.difficulty_every)
    measures.start()
    for step in range(budget.steps):
        pool.refresh(step)
        extras.refresh(step, budget.steps)
        batch = batch_of(world, recipe, next(feed), step, pool)
        stepped = make_step(batch)
        pool.after_step(torch.cat([batch.texts1.host, batch.texts2.host]), stepped.embeddings)
        measures.add(step, batch, stepped, pool)
        recipe.look(step)
    return measures.trained(cost)


def batch_of(
    world: World, method: Method, rows: NDArray[np.int64], step: int, pool: OpenPool
) -> Batch:
    """A batch of some rows: their texts, their given negatives and the mined ones."""
    data, budget, device = world.data, method.budget, world.device
    index = torch.from_numpy(rows)
    texts1, texts2 = torch.from_numpy(data.anchor[rows]), torch.from_numpy(data.positive[rows])
    if method.supervision is not None:
        texts1, texts2 = method.supervision.texts(texts1, texts2)
    given = data.negatives.shape[1]
    more = [torch.from_numpy(data.negatives[rows].reshape(-1))] if given else []
    mined = pool.mined(index)
    owned = None
    if mined is not None:
        more.append(mined)
    if more:
        count = 0 if mined is None else len(mined) // len(rows)
        owned = owners(len(rows), given, count, share=pool.share, device=device)
    return Batch(
        rows=on_device(index, device),
        texts1=Texts.of(world.tokens, texts1),
        texts2=Texts.of(world.tokens, texts2),
        more=Texts.of(world.tokens, torch.cat(more)) if more else None,
        owned=owned,
        progress=step / max(1, budget.steps - 1),
        rate=schedule(budget.schedule, step, budget.steps, budget.warmup),
    )
