"""A training under way: it owns pool, extras, batches, step and measures, and is an iterator.

`training.step` defines a step, `training.measures` what is measured.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
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
from nsbench.benchmarks.encoders import Encoder, TokenTable, token_table
from nsbench.benchmarks.encoders._prompts import DOCUMENT, QUERY, length_for, prompt_for
from nsbench.benchmarks.records.cache import NOTHING, ContentCache
from nsbench.benchmarks.training.batches import feed_for, positives_of
from nsbench.benchmarks.training.extras import Extras
from nsbench.benchmarks.training.measures import Measures, Trained
from nsbench.benchmarks.training.optimizer import schedule
from nsbench.benchmarks.training.replay.capture import recorder, replay_mode
from nsbench.benchmarks.training.step import Batch, Method, Step, Stepped


class Training:
    """Trains an encoder in place; iterate to make the steps, each yielding its number.

    Args:
        encoder: As it is before the first step, on ``device`` already.
        data: Training rows.
        method: Decides how a step is made.
        device: Where tensors live.
        seed_for: Gives the seed of a purpose word.
        every: Steps between full measurements.
        cache: Where results that are slow to compute are shared with other cells.
        key: Identifies tokenizer and texts; see `token_table`.

    Attributes:
        done: Steps made.
        cost: Counts of what was spent.

    Raises:
        ValueError: If the data has fewer rows than one batch.
    """

    def __init__(
        self,
        encoder: Encoder,
        data: TrainingData,
        method: Method,
        device: torch.device,
        *,
        seed_for: Callable[[str], int],
        every: int = 10,
        cache: ContentCache = NOTHING,
        key: str = "",
    ) -> None:
        budget = method.budget
        self.method, self.done, self.source = method, 0, ""
        self.cost: dict[str, float] = {}
        name = data.name
        asked, stated = (
            (
                prompt_for(encoder.prompts, name, role),
                length_for(encoder.lengths, role, budget.max_length),
            )
            for role in (QUERY, DOCUMENT)
        )

        def table(prompt: str, length: int) -> TokenTable:
            return token_table(encoder, data.texts, length, device, key=key, prompt=prompt)

        tokens = table(*stated)
        known = Known(data, device)
        self.world = World(
            data=data,
            encoder=encoder,
            tokens=tokens,
            device=device,
            batch_size=budget.batch_size,
            seed_for=seed_for,
            embed=lambda model, tokens=tokens: embed_all(model, tokens, self._note),
            note=self._note,
            cache=cache,
            key=key,
            queries=None if asked == stated else table(*asked),
        )
        rank = team().rank  # each of several processes draws its own dropout
        torch.manual_seed(seed_for(f"dropout {rank}" if rank else "dropout"))
        self.pool = method.pool.open(self.world)
        self.extras = Extras(method.sampler, self.world, method.objective)
        self.feed = feed_for(method.sampler, self.world)
        mode = replay_mode(device, budget.chunk)
        fixed = mode != "never" or (device.type == "cuda" and team().size == 1)
        self.make_step = Step(method, self.world, known, self.pool, self.extras, fixed=fixed)
        self.measures = Measures(method, self.world, known, every)
        self.run = recorder(self._run, mode, list(self.make_step.draw.values()))

    def _note(self, name: str, value: float) -> None:
        self.cost[name] = self.cost.get(name, 0.0) + value

    def __iter__(self) -> Iterator[int]:
        """Make the steps that are left; each yields its number."""
        if not self.done:
            self.measures.start()
        while self.done < self.method.budget.steps:
            self._step()
            yield self.done - 1

    def finish(self) -> Trained:
        """Make the steps that are left and return everything measured; see `result`."""
        for _ in self:
            pass
        return self.result()

    def result(self) -> Trained:
        """Read out everything measured.

        Raises:
            DivergedError: If a loss is not finite.
        """
        return self.measures.trained(self.cost)

    def _step(self) -> None:
        """Make the next step and measure it."""
        step, pool = self.done, self.pool
        pool.refresh(step)
        self.extras.refresh(step, self.method.budget.steps)
        batch = self.next_batch(step)
        stepped, seen = self.run(batch, self.measures.due(step))
        for name, count in stepped.passes.items():
            self._note(name, count)
        pool.after_step(torch.cat([batch.texts1.host, batch.texts2.host]), stepped.embeddings)
        self.measures.add(step, stepped, with_source(seen, self.source), pool)
        self.done += 1

    def next_batch(self, step: int) -> Batch:
        """Return the batch of a step, its own negatives scored where the sampler asks for that."""
        rows = next(self.feed)
        self.source = self._source_of(rows)
        batch = batch_of(self.world, self.method, rows, step, self.pool)
        more = None if batch.more is None else batch.more.host
        given = self.world.data.negatives.shape[1]
        scores = self.extras.own_scores(batch.texts1.host, more, given)
        if scores is None:
            return batch
        return replace(batch, own_scores=on_device(scores, self.world.device))

    def _source_of(self, rows: NDArray[np.int64]) -> str:
        """Return the data set of a batch of a mixture, empty for none; its rows are counted."""
        data = self.world.data
        if data.source is None or len(found := np.unique(data.source[rows])) > 1:
            return ""  # a sampler that makes batches may mix them
        name = data.sources[int(found[0])]
        self._note(f"rows_{name}", len(rows))
        return name

    def _run(self, batch: Batch, measured: bool) -> tuple[Stepped, dict[str, Tensor]]:
        """Do all device work of a step; statistics come with it where it is measured."""
        stepped = self.make_step(batch)
        return stepped, self.measures.see(batch, stepped) if measured else {}

    def state(self) -> dict[str, Any]:
        """Return everything a resumed training needs that opening it does not compute again."""
        return {
            "done": self.done,
            "cost": self.cost,
            "pool": self.pool.state(),
            "extras": self.extras.state(),
            "measures": self.measures.state(),
            "step": self.make_step.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state`, as if the training had never stopped.

        What is derived from the encoder before its first step (topics, a guide's embeddings) is
        computed before the weights are put in place.
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


def with_source(seen: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return statistics of a step, and again under the name of its data set: ``loss@quora``."""
    return dict(seen) | ({f"{name}@{source}": v for name, v in seen.items()} if source else {})


def batch_of(
    world: World, method: Method, rows: NDArray[np.int64], step: int, pool: OpenPool
) -> Batch:
    """Return the batch of some rows: their texts, given negatives and mined ones."""
    data, budget, device = world.data, method.budget, world.device
    index = torch.from_numpy(rows)
    texts1 = torch.from_numpy(data.anchor[rows])
    texts2 = torch.from_numpy(positives_of(data, rows, step, world.seed_for("positives")))
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
        texts1=Texts.of(world.asked, texts1),
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
