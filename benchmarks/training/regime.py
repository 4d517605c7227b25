"""A cell's training, through all phases of its regime; it can be gone on with in the middle."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from nsbench.benchmarks.augmentations import augmentations, bound
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.contrast.directions import directions_of
from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.difficulty.histograms import joined_histograms
from nsbench.benchmarks.encoders import Encoder, encoders, hash_weights
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cache import NOTHING, ContentCache
from nsbench.benchmarks.records.cell import Cell, make
from nsbench.benchmarks.regimes import Phase, regimes
from nsbench.benchmarks.regimes._labels import entailment_data
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.training.best_checkpoint import BestCheckpoint
from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.phases import few_shot, joined, phase_data
from nsbench.benchmarks.training.snapshots import Snapshots, frame_of, frame_state
from nsbench.benchmarks.training.supervision import Supervision
from nsbench.benchmarks.training.train import Recipe, train
from nsbench.samplers import samplers

_TABLES = ("difficulty", "training", "histograms", "probe", "choices")


class SkipCellError(Exception):
    """This pairing makes no sense; the message is the reason."""


def built_encoder(cell: Cell) -> Encoder:
    """The cell's encoder as it starts, on the CPU."""
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
    on_step: Callable[[int], None],
    snapshots: Snapshots | None = None,
    cache: ContentCache = NOTHING,
) -> Trained:
    """Train an encoder in place, through all phases of the cell's regime.

    Args:
        cell: What to train.
        data: Its data, as `nsbench.benchmarks.data._load.load_data` gives them.
        encoder: On ``device`` already.
        device: Where tensors live.
        on_step: Called after each step, counted through all phases.
        snapshots: Where its state is kept, and found; ``None`` keeps nothing.
        cache: Where what is slow to make is shared with other cells.

    Raises:
        DivergedError: If a loss is not finite.
    """
    source = entailment_data(cell.regime, cell.data)
    pairs = None if source is None else load_data(source)
    phases = make(regimes, cell.regime).phases(cell.budget)
    best = None
    if cell.evaluation.dev:
        best = BestCheckpoint(encoder, cell, make(datasets, cell.data))
    parts: list[tuple[Phase, Trained]] = []
    kept = None if snapshots is None else snapshots.read()
    if kept is not None:
        parts = [(p, _trained_of(s)) for p, s in zip(phases, kept["parts"], strict=False)]
        if kept["start"] is not None:
            encoder.load_state_dict(kept["start"])
        if best is not None:
            best.load(kept["best"])
    for phase in phases[len(parts) :]:
        done = sum(p.budget.steps for p, _ in parts)
        last = phase is phases[-1]
        wanted = snapshots is not None and snapshots.wanted
        start = _weights(encoder) if wanted and parts else None

        def look(step: int, last: bool = last, before: int = done, phase: Phase = phase) -> None:
            if best is not None and last:
                best.look(step, phase.budget.steps)
            on_step(before + step)

        def state(training: Any, start: Any = start) -> dict[str, Any]:
            return {
                "parts": [_trained_state(t) for _, t in parts],
                "start": start,
                "best": None if best is None else best.state(),
                "training": training,
            }

        def keep(
            training: Callable[[], Any],
            before: int = done,
            state: Callable[[Any], Any] = state,
        ) -> None:
            if snapshots is not None and snapshots.due():
                now = training()
                snapshots.write(before + now["done"], lambda: state(now))

        rows = phase_data(phase, data, pairs)
        if last:
            rows = few_shot(
                rows,
                cell.limit,
                batch_size=phase.budget.batch_size,
                seed=seed_for(cell.seed, "limit"),
            )
        trained = _train_phase(
            cell,
            phase,
            rows,
            encoder,
            device,
            look=look,
            keep=keep,
            resume=None if kept is None else kept["training"],
            cache=cache,
        )
        parts.append((phase, trained))
        kept = None
        if snapshots is not None and (snapshots.used or snapshots.due()):
            ended = partial(state, None, _weights(encoder))
            snapshots.write(done + phase.budget.steps, ended)
    whole = _joined(parts, best)
    if team().size > 1:
        team().same(hash_weights(encoder.state_dict().items()))
    return whole


def _joined(parts: list[tuple[Phase, Trained]], best: BestCheckpoint | None) -> Trained:
    """What all phases leave behind, with the best weights in place where they were looked for."""
    trained = parts[0][1] if len(parts) == 1 else joined(parts)
    if len(parts) > 1:
        seen = [t.histograms.iloc[: 0 if p.kind == "entailment" else None] for p, t in parts]
        steps = [sum(p.budget.steps for p, _ in parts[:i]) for i in range(len(parts))]
        trained.histograms = joined_histograms(list(zip(steps, seen, strict=True)))
        trained.probe, trained.choices = parts[-1][1].probe, parts[-1][1].choices
    if best is not None:
        trained.cost |= best.restore()
    return trained


def _weights(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in encoder.state_dict().items()}


def _trained_state(trained: Trained) -> dict[str, Any]:
    return {name: frame_state(getattr(trained, name)) for name in _TABLES} | {"cost": trained.cost}


def _trained_of(state: Mapping[str, Any]) -> Trained:
    tables = {name: frame_of(state[name]) for name in _TABLES}
    return Trained(cost=dict(state["cost"]), **tables)


def _train_phase(
    cell: Cell,
    phase: Phase,
    data: TrainingData,
    encoder: Encoder,
    device: torch.device,
    **around: Any,
) -> Trained:
    """One phase; ``around`` is what of a `Recipe` has nothing to do with what is trained."""
    recipe = phase_recipe(cell, phase, data, encoder, **around)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return train(encoder, data, recipe, device)


def phase_recipe(
    cell: Cell, phase: Phase, data: TrainingData, encoder: Encoder, **around: Any
) -> Recipe:
    """Make the recipe of one phase.

    Args:
        cell: The cell.
        phase: One of its phases.
        data: The rows of the phase.
        encoder: On its device already.
        around: Fields of `Recipe` that have nothing to do with what is trained.

    Raises:
        SkipCellError: If the sampler needs labels that the data does not have.
        ValueError: If the data has fewer rows than one batch.
    """
    budget = phase.budget
    alone = phase.kind == "entailment"
    sampler = samplers.make("in_batch") if alone else make(samplers, cell.sampler)
    if "truth" in getattr(sampler, "needs", ()) and data.meaning is None:
        raise SkipCellError(f"{cell.sampler.name} needs labels, and {data.name} has none")
    if budget.batch_size < team().size:
        raise ValueError(
            f"batch_size is {budget.batch_size}, fewer than the {team().size} processes of a cell"
        )
    if data.rows < budget.batch_size:
        raise ValueError(
            f"batch_size is {budget.batch_size}, but {data.name} has only {data.rows} rows"
        )
    objective = objectives.make("info_nce") if alone else make(objectives, cell.objective)
    pool = candidates.make("in_batch") if alone else make(candidates, cell.candidates)
    views = tuple(
        [bound(make(augmentations, c), encoder) for c in view] for view in (cell.view1, cell.view2)
    )
    directions = "one" if alone else directions_of(cell.candidates.params, objective)
    prefix = "nli/" if phase.nli else ""  # contrast draws alike with and without a first phase
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
    return Recipe(
        sampler=sampler,
        objective=objective,
        views=((), ()) if alone else (views[0], views[1]),
        directions=directions,
        budget=budget,
        difficulty_every=cell.difficulty_every,
        seed_for=lambda purpose: seed_for(cell.seed, prefix + purpose),
        open_pool=pool.open,
        tokens_key=content_key(
            [cell.encoder.plain(), dict(cell.inputs), data.digest, budget.max_length]
        ),
        supervision=supervision,
        **around,
    )
