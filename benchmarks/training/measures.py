"""Measures of a training, gathered on the device and read out at its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from nsbench.benchmarks.candidates import OpenPool
from nsbench.benchmarks.contrast.context import Known
from nsbench.benchmarks.contrast.views import embed_texts, untouched, view_of
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.device import is_fake
from nsbench.benchmarks.difficulty.choices import Choices, texts_of
from nsbench.benchmarks.difficulty.gradient import Push
from nsbench.benchmarks.difficulty.histograms import Histograms
from nsbench.benchmarks.difficulty.probe import Probe
from nsbench.benchmarks.difficulty.staleness import mined_statistics
from nsbench.benchmarks.difficulty.statistics import (
    DifficultyLog,
    point,
    statistics,
    summary,
)
from nsbench.benchmarks.difficulty.vectors import pull_statistics
from nsbench.benchmarks.encoders import TokenTable
from nsbench.benchmarks.encoders.products import autocast
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.training.extras import holding
from nsbench.benchmarks.training.optimizer import schedule
from nsbench.benchmarks.training.step import Batch, Method, Stepped
from nsbench.samplers import Objective

IDENTICAL = 1 - 1e-6


class DivergedError(RuntimeError):
    """The loss became NaN or infinite."""


@dataclass
class Trained:
    """Results of a training, in addition to the encoder's weights."""

    difficulty: pd.DataFrame
    training: pd.DataFrame
    cost: dict[str, float] = field(default_factory=dict)
    histograms: pd.DataFrame = field(default_factory=pd.DataFrame)
    probe: pd.DataFrame = field(default_factory=pd.DataFrame)
    choices: pd.DataFrame = field(default_factory=pd.DataFrame)
    texts: pd.DataFrame = field(default_factory=pd.DataFrame)


class Measures:
    """Measures each step; in full every ``every``-th and the last."""

    def __init__(self, method: Method, world: World, known: Known, every: int = 10) -> None:
        self.method, self.world, self.every = method, world, every
        steps = method.budget.steps
        self.difficulty = DifficultyLog()
        self.histograms = Histograms(world.device)
        self.choices = Choices(known, steps)
        ask = None if world.queries is None else partial(self._embed, tokens=world.queries)
        self.probe = Probe(world.data, known, self._embed, steps, world.device, ask=ask)
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._counts: list[Tensor] = []
        self._polled = 0  # losses that a poll has covered
        self._bad: Tensor | None = None  # what the last poll found, read at the next

    def _embed(self, texts: Tensor, tokens: TokenTable | None = None) -> Tensor:
        """The probe's embeddings, in the precision that the cell trains in, which is cheaper."""
        with autocast(self.method.budget.precision, self.world.device):
            return embed_texts(self.world.encoder, tokens or self.world.tokens, texts)

    def start(self) -> None:
        """Measure the encoder before its first step."""
        self.difficulty.add(0, self.probe.measure())

    def due(self, step: int) -> bool:
        """Return True if a step is measured in full."""
        return step % self.every == 0 or step == self.method.budget.steps - 1

    def add(self, step: int, stepped: Stepped, seen: Mapping[str, Tensor], pool: OpenPool) -> None:
        """Add a step, with the statistics that `see` made if it was due; nothing of it is kept."""
        self._losses.append(stepped.total.clone())
        self._norms.append(stepped.norm.clone())
        self._counts.append(stepped.counts.clone())
        self.choices.add(
            step, stepped.contrast, stepped.context, stepped.selection, self.method.objective
        )
        if self.probe.due(step):
            self.difficulty.add(step, dict(self.probe.measure()) | dict(pool.measure()))
            if self.world.device.type == "cuda":
                self.check()
        if self.due(step):
            self.histograms.keep(step)
            self.difficulty.add(step, dict(seen) | dict(pool.numbers(step)))
            self._poll()

    def _poll(self) -> None:
        """Read the verdict of the poll before and ask about the losses since.

        On a CPU a loss that is not finite ends the training two measured steps later at most. On
        a device reading would wait for it, so losses are read when the probe is.

        Raises:
            DivergedError: If a loss is not finite.
        """
        if self.world.device.type != "cpu" or is_fake(self._losses[-1]):
            return
        if self._bad is not None and bool(self._bad):
            self.check()
        fresh = self._losses[self._polled :]
        self._polled = len(self._losses)
        if fresh:
            self._bad = ~torch.isfinite(torch.stack(fresh)).all()

    def check(self) -> None:
        """Wait for the device and look at every loss so far.

        Raises:
            DivergedError: If a loss is not finite.
        """
        if self._losses:
            refuse_diverged(torch.stack(self._losses).cpu().double().numpy(), self.method.budget)

    def see(self, batch: Batch, stepped: Stepped) -> dict[str, Tensor]:
        """Count one step in the histograms and return its ``{quantity: (S,)}``."""
        context, contrast = stepped.context, stepped.contrast
        loss, supervision = stepped.loss.detach(), self.method.supervision
        objective, selection = self._objective(stepped), stepped.selection
        push = Push.of(context, selection, objective)
        self.histograms.add(context, selection, push)
        numbers = statistics(context, selection, objective, push=push)
        numbers |= pull_statistics(context, selection, contrast, push)
        numbers |= mined_statistics(context, contrast, batch.mined_scores)
        numbers |= {name: point(value) for name, value in stepped.learned.items()}
        numbers["loss"] = summary(loss, torch.ones_like(loss) > 0, 0, 20)
        numbers |= self._views_seen(batch, stepped)
        if supervision is not None:
            right = supervision.accuracy(stepped.raw, batch.rows)
            numbers["entailment_accuracy"] = point(right.detach())
        watched = holding(self.method.sampler, "diagnostics")
        if watched is not None:
            for name, value in watched.diagnostics(context).items():
                numbers[name] = point(value)
        diagnostics = getattr(objective, "diagnostics", None)
        if diagnostics is not None:
            made = cast(Callable[..., dict[str, Tensor]], diagnostics)
            live, parts = stepped.live.detach(), list(selection.parts())
            levels = [made(live, context, part) for part in parts]
            for name in levels[0]:
                numbers[name] = point(torch.stack([v[name] for v in levels]).mean())
        return numbers

    def _objective(self, stepped: Stepped) -> Objective:
        """The objective with its learned numbers as they were in the step."""
        if not stepped.learned:
            return self.method.objective
        bind: Any = self.method.objective
        numbers = {k.removeprefix("learned_"): v for k, v in stepped.learned.items()}
        return cast(Objective, bind.bind(numbers))

    def _views_seen(self, batch: Batch, stepped: Stepped) -> dict[str, Tensor]:
        """Return shares of anchors whose views are unchanged, or identical to each other."""
        plain1, plain2 = (
            view_of(self.world.encoder, tokens, texts)
            for tokens, texts in (
                (self.world.asked, batch.texts1),
                (self.world.tokens, batch.texts2),
            )
        )
        contrast = stepped.contrast
        cosine = (contrast.anchors * contrast.columns[contrast.positive]).sum(dim=1).detach()
        return {
            "noop_view1": point(untouched(stepped.views[0], plain1).double().mean()),
            "noop_view2": point(untouched(stepped.views[1], plain2).double().mean()),
            "identical_views": point((cosine >= IDENTICAL).double().mean()),
        }

    def state(self) -> dict[str, Any]:
        """Return everything a resumed cell needs."""
        return {
            "difficulty": self.difficulty.state(),
            "histograms": self.histograms.state(),
            "choices": self.choices.state(),
            "probe": self.probe.state(),
            "steps": [torch.stack(v) for v in (self._losses, self._norms, self._counts)],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self.difficulty.load(state["difficulty"])
        self.histograms.load(state["histograms"])
        self.choices.load(state["choices"])
        self.probe.load(state["probe"])
        held = (list(v.to(self.world.device)) for v in state["steps"])
        self._losses, self._norms, self._counts = held

    def trained(self, cost: dict[str, float]) -> Trained:
        """Read everything out.

        Raises:
            DivergedError: If a loss is not finite.
        """
        return Trained(
            difficulty=self.difficulty.table(),
            training=training_table(self._losses, self._norms, self.method.budget),
            cost=self._costs(cost),
            histograms=self.histograms.table(),
            probe=self.probe.ranking(),
            choices=(chosen := self.choices.table()),
            texts=texts_of(chosen, self.world.data),
        )

    def _costs(self, cost: dict[str, float]) -> dict[str, float]:
        budget = self.method.budget
        total = torch.stack(self._counts).sum(dim=0).cpu().tolist()
        passes = sum(v for k, v in cost.items() if k.startswith("passes_"))
        return cost | {
            "steps": float(budget.steps),
            "passes": passes,
            "negatives_per_anchor": total[0] / max(1, budget.steps),
            "empty_rows": total[1],
            "masked_duplicates": total[2],
            "masked_known": total[3],
            "tokens": total[4],
            "texts": float(len(self.world.data.texts)),
            "truncated_texts": float(self.world.tokens.truncated),
            "examples": float(budget.steps * budget.batch_size),
            "epochs": budget.steps * budget.batch_size / self.world.data.rows,
        }


def refuse_diverged(loss: NDArray[np.float64], budget: Budget) -> None:
    """Raise DivergedError at the first loss that is not finite."""
    bad = np.flatnonzero(~np.isfinite(loss))
    if bad.size:
        raise DivergedError(f"the loss is {loss[bad[0]]} at step {bad[0]} of {budget.steps}")


def training_table(losses: list[Tensor], norms: list[Tensor], budget: Budget) -> pd.DataFrame:
    """Return loss, gradient norm and learning rate by step.

    Raises:
        DivergedError: If a loss is not finite.
    """
    loss = torch.stack(losses).cpu().double().numpy()
    refuse_diverged(loss, budget)
    rates = [
        budget.learning_rate * schedule(budget.schedule, s, budget.steps, budget.warmup)
        for s in range(budget.steps)
    ]
    return pd.DataFrame(
        {
            "step": np.arange(budget.steps),
            "loss": loss,
            "gradient_norm": torch.stack(norms).cpu().double().numpy(),
            "learning_rate": rates,
        }
    )
