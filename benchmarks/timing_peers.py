"""Our step, evaluation and search beside the neighbours', as ratios measured in one run.

    python -m nsbench.benchmarks.timing_peers [JOB ...] [--rounds 3] [--threads 1]

Jobs: ``step-static`` and ``step-minilm`` against the trainer of sentence-transformers on the same
texts, batch and loss; ``step-minilm-bf16`` with both in bfloat16; ``eval-static`` and
``eval-minilm`` against mteb's own evaluation of the same weights, scores compared; ``search``
against faiss's flat index, answers compared. Ours and theirs alternate, so that a machine whose
speed drifts slows both; the ratio is theirs to ours, round by round. Needs the extras ``offline``
and ``st``.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from nsbench.benchmarks import mteb_adapter
from nsbench.benchmarks.cell import Cell
from nsbench.benchmarks.config import parse_config
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import _sources, encoders, hash_weights
from nsbench.benchmarks.evaluate import check_tasks, evaluate
from nsbench.benchmarks.matrix import expand, load_data, make
from nsbench.benchmarks.run import evaluated_model, train_cell
from nsbench.benchmarks.search import top_k

MINILM = _sources.MINILM
SKIPPED = 2
"""Steps at the start of each run that are not counted."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        run: Does the work and gives the seconds of each of its units, and something to compare.
        name: What it is.
    """

    name: str
    run: Callable[[], tuple[list[float], Any]]


@dataclass(frozen=True)
class Compared:
    """What a job measured.

    Attributes:
        job: Its name.
        unit: What was timed.
        ours: Median seconds of each round.
        theirs: Likewise.
        against: Who they are.
        note: How the answers compare.
    """

    job: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    against: str
    note: str

    @property
    def ratios(self) -> list[float]:
        """Theirs to ours, round by round."""
        return [t / o for o, t in zip(self.ours, self.theirs, strict=True)]

    def line(self) -> str:
        """The measurement as one line of text."""
        low, high = min(self.ratios), max(self.ratios)
        return (
            f"{self.job:17} {1e3 * statistics.median(self.ours):10.1f} "
            f"{1e3 * statistics.median(self.theirs):10.1f} "
            f"{statistics.median(self.ratios):7.2f}  {low:.2f} to {high:.2f}  "
            f"{self.unit}, against {self.against}. {self.note}"
        )


def compared(
    job: str,
    unit: str,
    ours: Side,
    theirs: Side,
    rounds: int,
    judge: Callable[[Any, Any], str] = lambda ours, theirs: "",
) -> Compared:
    """Run both sides in turn and compare.

    Args:
        job: Its name.
        unit: What is timed.
        ours: Our side.
        theirs: The other.
        rounds: How often each runs, >= 1.
        judge: Says in words how the two answers of the last round compare.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    answers: list[Any] = [None, None]
    for _ in range(rounds):
        for place, side in enumerate((ours, theirs)):
            units, answers[place] = side.run()
            seconds[place].append(statistics.median(units))
    return Compared(job, unit, tuple(seconds[0]), tuple(seconds[1]), theirs.name, judge(*answers))


def _cell(encoder: Mapping[str, Any], augmentation: Any, steps: int, **budget: Any) -> Cell:
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
        train_cell(cell, data, encoder, CPU, lambda step: stamps.append(time.perf_counter()))
        return _intervals(stamps), None

    return Side("nsbench", run)


def their_steps(model: Callable[[], Any], texts: Sequence[str], cell: Cell) -> Side:
    """Seconds of every step of sentence-transformers' trainer, with its in-batch loss."""

    def run() -> tuple[list[float], None]:
        from datasets import Dataset
        from sentence_transformers import (
            SentenceTransformerTrainer,
            SentenceTransformerTrainingArguments,
        )
        from sentence_transformers.losses import MultipleNegativesRankingLoss
        from transformers import TrainerCallback

        stamps: list[float] = []

        class Clock(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *args: object, **kwargs: object) -> None:
                stamps.append(time.perf_counter())

        made = model()
        with tempfile.TemporaryDirectory() as folder:
            SentenceTransformerTrainer(
                model=made,
                args=SentenceTransformerTrainingArguments(
                    output_dir=folder,
                    max_steps=cell.budget.steps,
                    per_device_train_batch_size=cell.budget.batch_size,
                    learning_rate=cell.budget.learning_rate,
                    bf16=cell.budget.precision == "bf16",
                    use_cpu=True,
                    save_strategy="no",
                    logging_strategy="no",
                    report_to=[],
                    disable_tqdm=True,
                    seed=1,
                ),
                train_dataset=Dataset.from_dict({"anchor": texts, "positive": texts}),
                loss=MultipleNegativesRankingLoss(made),
                callbacks=[Clock()],
            ).train()
        return _intervals(stamps), None

    return Side(f"sentence-transformers {version('sentence-transformers')}", run)


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

    model = SentenceTransformer(str(_sources.locate(MINILM, None)), device="cpu")
    model.max_seq_length = length
    return model


def step_job(job: str, rounds: int, steps: int) -> Compared:
    """A training step: ``step-static``, ``step-minilm`` or ``step-minilm-bf16``."""
    if job == "step-static":
        cell = _cell(
            {"name": "static", "source": MINILM}, "none", steps, batch_size=256, precision="fp32"
        )
        model = their_static
    else:
        precision = "bf16" if job.endswith("bf16") else "fp32"
        cell = _cell({"name": MINILM}, "dropout", steps, batch_size=64, precision=precision)
        model = their_minilm
    data = load_data(cell.data)
    theirs = their_steps(model, data.texts, cell)
    unit = f"step of batch {cell.budget.batch_size}, {cell.budget.precision}"
    return compared(job, unit, our_steps(cell, data), theirs, rounds)


def eval_job(job: str, rounds: int, tasks: Sequence[str]) -> Compared:
    """Scoring one checkpoint: ``eval-static`` or ``eval-minilm``."""
    static = job == "eval-static"
    spec = {"name": "static", "source": MINILM} if static else {"name": MINILM}
    cell = _cell(spec, "none", 1, batch_size=64)
    encoder = make(encoders, cell.encoder).build([], 0)
    names = check_tasks(tasks)
    model = evaluated_model(cell, encoder, hash_weights(encoder.state_dict().items()))

    def run() -> tuple[list[float], dict[str, float]]:
        began = time.perf_counter()
        found = evaluate(model, tasks, geometry=False)
        seconds = time.perf_counter() - began
        return [seconds], {s.task: s.value for s in found.scores if s.main}

    def run_theirs() -> tuple[list[float], dict[str, float]]:
        made = their_static(256) if static else their_minilm(256)
        began = time.perf_counter()
        found = mteb_adapter.plain_scores(made, names)
        return [time.perf_counter() - began], found

    def judge(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
        apart = max(abs(ours[name] - theirs[name]) for name in names)
        return f"Main scores of {len(names)} tasks differ by at most {apart:.1e}."

    side = Side(f"mteb {version('mteb')}", run_theirs)
    return compared(job, f"{len(names)} tasks", Side("nsbench", run), side, rounds, judge)


def search_job(rounds: int, rows: int, k: int, width: int = 384) -> Compared:
    """The exact k nearest of each of ``rows`` vectors among them all."""
    points = torch.randn(rows, width, generator=torch.Generator().manual_seed(0))
    points = torch.nn.functional.normalize(points, dim=-1)

    def run() -> tuple[list[float], Any]:
        began = time.perf_counter()
        found = top_k(points, points, k)
        return [time.perf_counter() - began], found.ids.numpy()

    def run_theirs() -> tuple[list[float], Any]:
        import faiss

        index = faiss.IndexFlatIP(width)
        began = time.perf_counter()
        faiss.omp_set_num_threads(torch.get_num_threads())
        index.add(points.numpy())
        _, ids = index.search(points.numpy(), k)
        return [time.perf_counter() - began], ids

    def judge(ours: Any, theirs: Any) -> str:
        pairs = zip(ours, theirs, strict=True)
        shared = np.mean([len(np.intersect1d(a, b)) / k for a, b in pairs])
        return f"Share of neighbours in common: {shared:.6f}."

    side = Side(f"faiss {version('faiss-cpu')} flat", run_theirs)
    unit = f"top {k}, {rows} x {rows} x {width}"
    return compared("search", unit, Side("nsbench", run), side, rounds, judge)


JOBS = ("step-static", "step-minilm", "step-minilm-bf16", "eval-static", "eval-minilm", "search")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the jobs asked for and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=12, help="of a training run")
    parser.add_argument("--rows", type=int, default=50_000, help="of the search")
    parser.add_argument("--k", type=int, default=100, help="of the search")
    parser.add_argument("--tasks", nargs="*", default=["STS7"], help="of the evaluation")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.jobs) - set(JOBS))
    if unknown:
        parser.error(f"unknown job {unknown[0]!r}; there are {', '.join(JOBS)}")
    for name, low in (("rounds", 1), ("threads", 1), ("steps", SKIPPED + 2), ("rows", 1), ("k", 1)):
        if getattr(given, name) < low:
            parser.error(f"--{name} must be at least {low}, got {getattr(given, name)}")
    torch.set_num_threads(given.threads)
    sys.stdout.write(
        f"{given.threads} thread(s), torch {torch.__version__}, {platform.machine()}\n"
        f"{'job':17} {'ours ms':>10} {'theirs ms':>10} {'ratio':>7}  lowest to highest ratio\n"
    )
    for job in given.jobs or JOBS:
        if job == "search":
            found = search_job(given.rounds, given.rows, given.k)
        elif job.startswith("eval"):
            found = eval_job(job, given.rounds, given.tasks)
        else:
            found = step_job(job, given.rounds, given.steps)
        sys.stdout.write(found.line() + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
