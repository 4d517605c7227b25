"""A training step as we make it and as sentence-transformers' trainer does, on the same texts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.encoders import _sources, encoders, hash_weights
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records.cell import Cell, Choice, make
from nsbench.benchmarks.runs.cell_scores import evaluated_model
from nsbench.benchmarks.training.regime import train_cell
from tools.timing._compare import Compared, Side, compared
from tools.timing._trainer import trainer_stamps

MINILM = _sources.MINILM
SKIPPED = 2
"""Steps at the start of each run that are not counted."""
STEPS = 43
"""Steps of a run of a transformer: 40 are counted, four of which log their difficulty.

The probe scores its texts four times in a training of any length, so a shorter run would count it
more often than trainings do.
"""
STATIC_STEPS = 103
"""Likewise of a table, whose first dozen steps touch its rows for the first time."""
CPU = torch.device("cpu")


def cell_of(encoder: Mapping[str, Any], augmentation: Any, steps: int, **budget: Any) -> Cell:
    config = {
        "schema": 1,
        "name": "timing",
        "samplers": ["in_batch"],
        "augmentations": [augmentation],
        "encoders": [dict(encoder)],
        "data": ["sts_unlabelled"],
        "seeds": [1],
        "budget": {"steps": steps, "max_length": 64, **budget},
        "evaluation": {"tasks": ["STSBenchmark"]},
    }
    planned = expand(parse_config(config))
    return next(p.cell for p in planned if p.cell.sampler.name == "in_batch")


def _intervals(stamps: Sequence[float]) -> list[float]:
    return [b - a for a, b in zip(stamps[SKIPPED:], stamps[SKIPPED + 1 :], strict=False)]


def our_steps(cell: Cell, data: TrainingData) -> Side:
    """Seconds of every step of a cell, difficulty logged as always."""

    def run() -> tuple[list[float], None]:
        encoder = make(encoders, cell.encoder).build(data.texts, 0)
        stamps: list[float] = []

        def stamp(step: int) -> None:
            stamps.append(time.perf_counter())

        train_cell(cell, data, encoder, CPU, on_step=stamp)
        return _intervals(stamps), None

    return Side("nsbench", run)


def their_steps(model: Callable[[], Any], texts: Sequence[str], cell: Cell) -> Side:
    """Seconds of every step of sentence-transformers' trainer, with its in-batch loss."""

    def run() -> tuple[list[float], None]:
        return _intervals(their_training(model(), texts, cell)), None

    return Side(f"sentence-transformers {version('sentence-transformers')}", run)


def their_training(model: Any, texts: Sequence[str], cell: Cell) -> list[float]:
    """Train a sentence-transformers model by its own trainer as the budget of a cell says.

    Returns:
        When each step ended, by `time.perf_counter`.
    """
    budget = cell.budget
    return trainer_stamps(
        model,
        texts,
        steps=budget.steps,
        batch=budget.batch_size,
        learning_rate=budget.learning_rate,
        bf16=budget.precision == "bf16",
        device=CPU,
    )


def their_static(length: int = 64) -> Any:
    """A `StaticEmbedding` from MiniLM's token table."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding

    ours: Any = encoders.make("static", source=MINILM).build([], 0)
    backend = ours.tokenizer.backend_tokenizer
    backend.enable_truncation(max_length=length)
    table = ours.table.detach().numpy().copy()
    return SentenceTransformer(modules=[StaticEmbedding(backend, embedding_weights=table)])


def their_minilm(length: int = 64) -> Any:
    """MiniLM as sentence-transformers loads it."""
    from sentence_transformers import SentenceTransformer

    folder = str(_sources.locate(MINILM, None))
    model = SentenceTransformer(folder, device="cpu", trust_remote_code=False)
    model.max_seq_length = length
    return model


def checkpoint(encoder: Mapping[str, Any], precision: str = "fp32") -> tuple[Any, EvaluatedModel]:
    """An encoder as it comes, and as evaluation sees it.

    Args:
        encoder: Its name and parameters, as in a matrix file.
        precision: In which it scores; see ``evaluation.precision``.
    """
    cell = cell_of(encoder, "none", 1, batch_size=64)
    cell = replace(cell, evaluation=replace(cell.evaluation, precision=precision))
    built = make(encoders, cell.encoder).build([], 0)
    return built, evaluated_model(cell, built, hash_weights(built.state_dict().items()))


def step_job(job: str, rounds: int, steps: int | None) -> Compared:
    """A training step: ``step-static``, ``step-minilm`` or ``step-minilm-bf16``.

    ``step-static-dropout`` compares ours with embedding dropout, and ours without.

    Args:
        job: Which.
        rounds: How often each side runs.
        steps: Of a run; `STATIC_STEPS` or `STEPS` if ``None``.
    """
    static = job.startswith("step-static")
    steps = steps or (STATIC_STEPS if static else STEPS)
    if static:
        cell = cell_of(
            {"name": "static", "source": MINILM}, "none", steps, batch_size=256, precision="fp32"
        )
        model = their_static
    else:
        precision = "bf16" if job.endswith("bf16") else "fp32"
        cell = cell_of({"name": MINILM}, "dropout", steps, batch_size=64, precision=precision)
        model = their_minilm
    data = load_data(cell.data)
    unit = f"step of batch {cell.budget.batch_size}, {cell.budget.precision}"
    if job == "step-static-dropout":
        views = (Choice("embedding_dropout", {"rate": 0.2}),)
        ours = our_steps(replace(cell, view1=views, view2=views), data)
        theirs = replace(our_steps(cell, data), name="nsbench without embedding dropout")
        return compared(job, unit, ours, theirs, rounds)
    theirs = their_steps(model, data.texts, cell)
    return compared(job, unit, our_steps(cell, data), theirs, rounds)
