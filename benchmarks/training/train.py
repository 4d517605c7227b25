"""The training loop: one page, to be read from top to bottom.

What a step is, `training.step` says; what is measured, `training.measures`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nsbench.benchmarks.candidates import OpenPool
from nsbench.benchmarks.contrast.context import Known, owners
from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.contrast.views import Texts, embed_all, on_device
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, token_table
from nsbench.benchmarks.records.cache import NOTHING, ContentCache
from nsbench.benchmarks.training.batches import feed_for
from nsbench.benchmarks.training.extras import Extras
from nsbench.benchmarks.training.measures import Measures, Trained
from nsbench.benchmarks.training.optimizer import schedule
from nsbench.benchmarks.training.replay.capture import compile_layers, recorder, replay_mode
from nsbench.benchmarks.training.replay.graphs import own_stream
from nsbench.benchmarks.training.snapshots import Keep
from nsbench.benchmarks.training.step import Batch, Method, Step, Stepped


@dataclass(frozen=True)
class Recipe(Method):
    """What one training run is made of.

    Attributes:
        difficulty_every: Steps between measurements.
        seed_for: Gives the seed of a purpose word.
        open_pool: Starts the candidate pool.
        look: Called as ``look(step)`` after each step, for checkpoint choice and progress.
        keep: Told after each step how to make the state that a resumed training goes on from.
        resume: Such a state.
        cache: Where what is slow to make is shared with other cells.
        tokens_key: Says what tokenizer and texts these are; see `token_table`.
    """

    difficulty_every: int = 10
    seed_for: Callable[[str], int] = field(kw_only=True)
    open_pool: Callable[[World], OpenPool] = field(kw_only=True)
    look: Callable[[int], None] = lambda step: None
    keep: Keep = lambda state: None
    resume: Mapping[str, Any] | None = None
    tokens_key: str = ""
    cache: ContentCache = NOTHING


def train(encoder: Encoder, data: TrainingData, recipe: Recipe, device: torch.device) -> Trained:
    """Train an encoder in place.

    Args:
        encoder: On ``device`` already; as it was before the first step, also where it is resumed.
        data: Training rows.
        recipe: Everything else.
        device: Where tensors live.

    Raises:
        ValueError: If the data has fewer rows than one batch.
        DivergedError: If a loss is not finite; seen when losses are read out.
    """
    with own_stream(device):
        training = Training(encoder, data, recipe, device)
        if recipe.resume is None:
            training.measures.start()
        else:
            training.load(recipe.resume)
        while training.done < recipe.budget.steps:
            training.step()
            recipe.look(training.done - 1)
            if training.pool.resumable:
                recipe.keep(training.state)
        return training.measures.trained(training.cost)


class Training:
    """A training under way.

    Args:
        encoder: As it is before the first step.
        data: Training rows.
        recipe: Everything else.
        device: Where tensors live.

    Attributes:
        done: Steps made.
        cost: What was noted.
    """

    def __init__(
        self, encoder: Encoder, data: TrainingData, recipe: Recipe, device: torch.device
    ) -> None:
        budget = recipe.budget
        self.recipe, self.done = recipe, 0
        self.cost: dict[str, float] = {}
        tokens = token_table(encoder, data.texts, budget.max_length, device, key=recipe.tokens_key)
        known = Known(data, device)
        self.world = World(
            data=data,
            encoder=encoder,
            tokens=tokens,
            device=device,
            batch_size=budget.batch_size,
            seed_for=recipe.seed_for,
            embed=lambda model: embed_all(model, tokens, self._note),
            note=self._note,
            cache=recipe.cache,
            key=recipe.tokens_key,
        )
        rank = team().rank  # of processes that train together, each draws dropout of its own
        torch.manual_seed(recipe.seed_for(f"dropout {rank}" if rank else "dropout"))
        self.pool = recipe.open_pool(self.world)
        self.extras = Extras(recipe.sampler, self.world, recipe.objective)
        self.feed = feed_for(recipe.sampler, self.world)
        mode = replay_mode(device, budget.chunk)
        fixed = mode != "never" or (device.type == "cuda" and team().size == 1)
        self.make_step = Step(recipe, self.world, known, self.pool, self.extras, fixed=fixed)
        if mode == "compiled":
            compile_layers(encoder)
        self.measures = Measures(recipe, self.world, known, recipe.difficulty_every)
        self.run = recorder(self._run, mode, device, list(self.make_step.draw.values()))

    def _note(self, name: str, value: float) -> None:
        self.cost[name] = self.cost.get(name, 0.0) + value

    def step(self) -> None:
        """Make the next step, and measure it."""
        step, pool = self.done, self.pool
        pool.refresh(step)
        self.extras.refresh(step, self.recipe.budget.steps)
        batch = batch_of(self.world, self.recipe, next(self.feed), step, pool)
        stepped, seen = self.run(batch, self.measures.due(step))
        for name, count in stepped.passes.items():
            self._note(name, count)
        pool.after_step(torch.cat([batch.texts1.host, batch.texts2.host]), stepped.embeddings)
        self.measures.add(step, stepped, seen, pool)
        self.done += 1

    def _run(self, batch: Batch, measured: bool) -> tuple[Stepped, dict[str, Tensor]]:
        """All that a step does on the device, and what was seen where it is measured."""
        stepped = self.make_step(batch)
        return stepped, self.measures.see(batch, stepped) if measured else {}

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs, beside what opening it makes again."""
        return {
            "done": self.done,
            "cost": self.cost,
            "pool": self.pool.state(),
            "extras": self.extras.state(),
            "measures": self.measures.state(),
            "step": self.make_step.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`: what follows is what would have followed then.

        What is made of the encoder as it is before its first step (topics, a guide's embeddings)
        is made again, before the weights are put in place.
        """
        self.extras.start()
        self.done = state["done"]
        for _ in range(self.done):
            next(self.feed)
        self.pool.load(state["pool"])
        self.extras.load(state["extras"])
        self.measures.load(state["measures"])
        self.make_step.load(state["step"])
        self.cost.clear()
        self.cost.update(state["cost"])


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
        stored=pool.stored(),
        mined_scores=pool.mined_scores(),
        progress=torch.full((), step / max(1, budget.steps - 1), device=device),
        rate=torch.full(
            (),
            schedule(budget.schedule, step, budget.steps, budget.warmup),
            dtype=torch.float64,
            device=device,
        ),
    )
