"""A cell's training: the phases of its regime in a loop that can be resumed anywhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import augmentations, bound
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.contrast.directions import directions_of
from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.data._rows import chosen, unpaired
from nsbench.benchmarks.difficulty.histograms import joined_histograms
from nsbench.benchmarks.encoders import (
    Encoder,
    encoders,
    hash_weights,
    load_trained,
    trained_state,
)
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cache import NOTHING, ContentCache
from nsbench.benchmarks.records.cell import Cell, make
from nsbench.benchmarks.regimes import Phase, regimes
from nsbench.benchmarks.regimes._labels import entailment_data
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.best_checkpoint import BestCheckpoint
from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.replay.graphs import own_stream
from nsbench.benchmarks.training.snapshots import Snapshots, frame_of, frame_state
from nsbench.benchmarks.training.step import Method
from nsbench.benchmarks.training.supervision import Supervision
from nsbench.benchmarks.training.train import Training
from nsbench.samplers import samplers

_TABLES = ("difficulty", "training", "histograms", "probe", "choices", "texts")
_OF_ENTAILMENT = ("entailment_accuracy", "candidate_similarity")


class SkipCellError(Exception):
    """The cell's parts do not fit together; the message is the reason."""


def built_encoder(cell: Cell) -> Encoder:
    """Return the cell's encoder before training, on the CPU."""
    source = entailment_data(cell.regime, cell.data)
    more = () if source in (None, cell.data) else load_data(source).texts
    texts = (*load_data(cell.data).texts, *more)
    encoder: Encoder = make(encoders, cell.encoder).build(texts, seed_for(cell.seed, "init"))
    return encoder


def train_cell(
    cell: Cell,
    data: TrainingData,
    encoder: Encoder,
    device: torch.device,
    *,
    on_step: Callable[[int], None] = lambda step: None,
    snapshots: Snapshots | None = None,
    cache: ContentCache = NOTHING,
) -> Trained:
    """Train an encoder in place, through all phases of the cell's regime.

    Args:
        cell: The cell.
        data: Its data, as `nsbench.benchmarks.data._load.load_data` gives them.
        encoder: As `built_encoder` gives it, on ``device`` already.
        device: Where tensors live.
        on_step: Called after each step, counted through all phases.
        snapshots: Keeps the state of the training; ``None`` keeps nothing.
        cache: Where results that are slow to compute are shared with other cells.

    Raises:
        SkipCellError: If sampler or objective need labels or given negatives that the data lack.
        DivergedError: If a loss is not finite.
    """
    source = entailment_data(cell.regime, cell.data)
    pairs = None if source is None else load_data(source)
    phases = make(regimes, cell.regime).phases(cell.budget)
    best = BestCheckpoint.of(cell, encoder)
    progress = Progress(phases, encoder, best, snapshots or Snapshots())
    cuda = [device] if device.type == "cuda" else []
    for phase in progress.left():
        last = phase is phases[-1]
        rows = phase_data(phase, data, pairs)
        if last:
            seed = seed_for(cell.seed, "limit")
            rows = few_shot(rows, cell.limit, batch_size=phase.budget.batch_size, seed=seed)
        method = method_of(phase, cell, rows, encoder)
        with torch.random.fork_rng(devices=cuda), own_stream(device):
            training = Training(
                encoder,
                rows,
                method,
                device,
                seed_for=seeds_of(phase, cell),
                every=cell.difficulty_every,
                cache=cache,
                key=content_key(
                    [cell.encoder.plain(), dict(cell.inputs), rows.digest, phase.budget.max_length]
                ),
            )
            if progress.open_state is not None:
                training.load(progress.open_state)
            for step in training:
                if best is not None and last and best.due(step, phase.budget.steps):
                    training.measures.check()
                    best.update(step)
                on_step(progress.steps + step)
                progress.keep(training)
            progress.close(training.result())
    trained = joined(phases, progress.parts)
    if best is not None:
        trained.cost |= best.restore()
    if team().size > 1:
        team().same(hash_weights(encoder.state_dict().items()))
    return trained


class Progress:
    """Finished phases of a cell and the state of the open one, as its snapshots keep them.

    Args:
        phases: All phases.
        encoder: As it is before the first step; gets the weights it had when the phase to resume
            began.
        best: Gets its state; ``None`` where no checkpoint is chosen.
        snapshots: Read now, written by `keep` and `close`.

    Attributes:
        parts: Results of the finished phases.
        open_state: State of the training to resume; ``None`` to begin the next phase.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        encoder: Encoder,
        best: BestCheckpoint | None,
        snapshots: Snapshots,
    ) -> None:
        self.phases, self.encoder, self.best, self.snapshots = phases, encoder, best, snapshots
        self.parts: list[Trained] = []
        self.open_state: Mapping[str, Any] | None = None
        self._start: dict[str, Tensor] | None = None  # weights at the start of the open phase
        kept = snapshots.read()
        if kept is None:
            return
        self.parts = [_trained_of(state) for state in kept["parts"]]
        self.open_state = kept["training"]
        if kept["start"] is not None:
            load_trained(encoder, kept["start"])
        if best is not None:
            best.load(kept["best"])

    @property
    def steps(self) -> int:
        """Steps of the finished phases."""
        return sum(phase.budget.steps for phase in self.phases[: len(self.parts)])

    def left(self) -> Iterator[Phase]:
        """Yield the phases that are not finished."""
        for phase in self.phases[len(self.parts) :]:
            kept = self.parts and self.snapshots.wanted
            self._start = _weights(self.encoder) if kept else None
            yield phase

    def keep(self, training: Training) -> None:
        """Write a snapshot of the open phase if it is time and its pool can be resumed.

        Raises:
            DivergedError: If a loss is not finite.
        """
        if training.pool.resumable and self.snapshots.due():
            training.measures.check()  # a diverged training is not worth resuming
            self.snapshots.write(self.steps + training.done, self._state(training.state()))

    def close(self, trained: Trained) -> None:
        """Add the result of the open phase; keep it if there is a snapshot that it outdates."""
        self.parts.append(trained)
        self.open_state = None
        if self.snapshots.used or self.snapshots.due():
            self._start = _weights(self.encoder)
            self.snapshots.write(self.steps, self._state(None))

    def _state(self, training: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "parts": [_trained_state(part) for part in self.parts],
            "start": self._start,
            "best": None if self.best is None else self.best.state(),
            "training": training,
        }


def _weights(encoder: Encoder) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trained_state(encoder).items()}


def _trained_state(trained: Trained) -> dict[str, Any]:
    return {name: frame_state(getattr(trained, name)) for name in _TABLES} | {"cost": trained.cost}


def _trained_of(state: Mapping[str, Any]) -> Trained:
    tables = {name: frame_of(state[name]) for name in _TABLES}
    return Trained(cost=dict(state["cost"]), **tables)


def seeds_of(phase: Phase, cell: Cell) -> Callable[[str], int]:
    """Return the seed of each purpose; contrast draws alike with and without a first phase."""
    prefix = "nli/" if phase.nli else ""
    return lambda purpose: seed_for(cell.seed, prefix + purpose)


def method_of(phase: Phase, cell: Cell, data: TrainingData, encoder: Encoder) -> Method:
    """Return how the steps of a phase are made.

    Raises:
        SkipCellError: If sampler or objective need labels or given negatives that the data lack, or
            one of objective and data is of graded pairs and the other is not.
        ValueError: If the data or the processes do not fit the batch size.
    """
    alone = phase.kind == "entailment"
    sampler = samplers.make("in_batch") if alone else make(samplers, cell.sampler)
    if getattr(sampler, "requires_given", False) and not (data.negatives >= 0).any():
        raise SkipCellError(
            f"{cell.sampler.name} needs given negatives, and the rows of {data.name} have none in "
            f"the regime {cell.regime.name}"
        )
    size = phase.budget.batch_size
    if size < team().size:
        raise ValueError(f"batch_size is {size}, fewer than the {team().size} processes of a cell")
    if data.rows < size:
        raise ValueError(f"batch_size is {size}, but {data.name} has only {data.rows} rows")
    objective = objectives.make("info_nce") if alone else make(objectives, cell.objective)
    for choice, part in ((cell.sampler, sampler), (cell.objective, objective)):
        if "truth" in getattr(part, "needs", ()) and not data.knows_truth:
            raise SkipCellError(f"{choice.name} needs labels, and {data.name} has none")
    graded = "grade" in getattr(objective, "needs", ())
    if graded != (data.grade is not None):
        raise SkipCellError(
            f"{cell.objective.name} needs graded pairs, and {data.name} has none"
            if graded
            else f"the pairs of {data.name} are graded, and {cell.objective.name} takes every pair "
            "for a positive one"
        )
    directions = "one" if alone else directions_of(cell.candidates.params, objective)
    view1, view2 = (
        [bound(make(augmentations, choice), encoder) for choice in view]
        for view in (cell.view1, cell.view2)
    )
    supervision = None
    if phase.kind != "contrast":
        supervision = Supervision(
            encoder,
            data,
            variant=phase.variant,
            weight=0.0 if alone else phase.weight,
            joint=not alone,
            seed=seed_for(cell.seed, "entailment_head"),
        )
    return Method(
        sampler=sampler,
        objective=objective,
        views=((), ()) if alone else (view1, view2),
        pool=candidates.make("in_batch") if alone else make(candidates, cell.candidates),
        directions=directions,
        budget=phase.budget,
        supervision=supervision,
    )


def few_shot(data: TrainingData, limit: int, *, batch_size: int, seed: int) -> TrainingData:
    """Return the first ``limit`` rows of a shuffle, repeated until they fill a batch.

    Sets of one seed are nested: 10 rows are among the 100. Repeated texts are duplicates, which
    are never negatives of each other: with 1 row every anchor is left without a negative.

    Args:
        data: All rows.
        limit: Rows to keep, at most all of them; 0 keeps the data unchanged.
        batch_size: B.
        seed: Of the shuffle.
    """
    if limit == 0 or limit >= data.rows:
        return data
    rows = np.random.default_rng(seed).permutation(data.rows)[:limit]
    rows = np.tile(rows, -(-batch_size // limit))
    return replace(chosen(data, rows), revision=f"{data.revision} ({limit} rows)")


def phase_data(phase: Phase, data: TrainingData, pairs: TrainingData | None) -> TrainingData:
    """Return the rows a phase trains on.

    Pairs with entailment classes are no positives, so contrast takes every text of them alone.
    """
    if phase.nli and pairs is not None:
        return pairs
    return data if data.nli is None else unpaired(data)


def joined(phases: Sequence[Phase], parts: Sequence[Trained]) -> Trained:
    """Return the results of all phases as one: tables concatenated, costs summed."""
    if len(parts) == 1:
        return parts[0]
    tables: list[pd.DataFrame] = []
    losses: list[pd.DataFrame] = []
    histograms: list[tuple[int, pd.DataFrame]] = []
    cost: dict[str, float] = {}
    steps = 0
    for phase, trained in zip(phases, parts, strict=True):
        measured, counted = trained.difficulty, trained.histograms
        if phase.kind == "entailment":  # nothing was contrasted
            measured = measured[measured["quantity"].isin(_OF_ENTAILMENT)]
            counted = counted.iloc[:0]
        tables.append(measured.assign(step=measured["step"] + steps))
        losses.append(trained.training.assign(step=trained.training["step"] + steps))
        histograms.append((steps, counted))
        mean = cost.get("negatives_per_anchor", 0.0) * steps
        for name, value in trained.cost.items():
            cost[name] = cost.get(name, 0.0) + value
        mean += trained.cost.get("negatives_per_anchor", 0.0) * phase.budget.steps
        steps += phase.budget.steps
        cost["negatives_per_anchor"] = mean / max(1, steps)
    return Trained(
        difficulty=pd.concat(tables, ignore_index=True),
        training=pd.concat(losses, ignore_index=True),
        cost=cost,
        histograms=joined_histograms(histograms),
        probe=parts[-1].probe,
        choices=parts[-1].choices,
        texts=parts[-1].texts,
    )
