"""Our step, evaluation and search compared with other libraries, as ratios measured in one run.

    python -m tools.timing.peers [JOB ...] [--rounds 3] [--threads 1] [--out DIR]

Jobs: ``step-static`` and ``step-minilm`` against the trainer of sentence-transformers on the same
texts, batch and loss; ``step-minilm-bf16`` with both in bfloat16; ``step-static-dropout``, ours
with embedding dropout against ours without; ``eval-static`` and ``eval-minilm`` against mteb's own
evaluation of the same weights, scores compared; ``eval-minilm-bf16`` with ours in bfloat16;
``eval-static-scifact`` and ``eval-minilm-scifact`` on the retrieval task SciFact; ``search``
against faiss's flat index, answers compared; ``mine`` against the search inside
``mine_hard_negatives``. Ours and theirs alternate, so that a machine whose speed drifts slows
both; the ratio is theirs to ours, round by round. Needs the extras ``offline`` and ``st``.
"""

import argparse
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.evaluation.evaluate import check_tasks, evaluate
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.search.exact import top_k
from tools import plain_mteb as plain
from tools.timing._compare import (
    HEAD,
    PEERS,
    Compared,
    Side,
    compared,
    tell,
)
from tools.timing._steps import (
    MINILM,
    SKIPPED,
    STATIC_STEPS,
    STEPS,
    checkpoint,
    step_job,
    their_minilm,
    their_static,
)


def eval_job(job: str, rounds: int, tasks: Sequence[str]) -> Compared:
    """Scoring one checkpoint, by a job whose name begins with ``eval``.

    Theirs is in float32 always; in bfloat16 ours scores as ``evaluation.precision`` lets it. The
    data of the tasks are loaded before, for both.
    """
    static = job.startswith("eval-static")
    spec = {"name": "static", "source": MINILM} if static else {"name": MINILM}
    _, model = checkpoint(spec, "bf16" if job.endswith("bf16") else "fp32")
    names = check_tasks(tasks)
    for request in mteb_tasks.resolve(names):
        mteb_tasks.load(request)  # ours stay loaded in a process, so theirs are to be as well
    tasks_of_mteb = plain.plain_tasks(names, load=True)

    def run() -> tuple[list[float], dict[str, float]]:
        began = time.perf_counter()
        found = evaluate(model, tasks, geometry=False)
        seconds = time.perf_counter() - began
        return [seconds], {s.task: s.value for s in found.scores if s.main}

    def run_theirs() -> tuple[list[float], dict[str, float]]:
        made = their_static(256) if static else their_minilm(256)
        began = time.perf_counter()
        found = plain.plain_scores(made, tasks_of_mteb)
        return [time.perf_counter() - began], found

    def judge(ours: Mapping[str, float], theirs: Mapping[str, float]) -> str:
        apart = max(abs(ours[name] - theirs[name]) for name in names)
        return f"Main scores of {len(names)} tasks differ by at most {apart:.1e}."

    side = Side(f"mteb {version('mteb')}", run_theirs)
    unit = "1 task" if len(names) == 1 else f"{len(names)} tasks"
    return compared(job, unit, Side("nsbench", run), side, rounds, judge)


def points_of(rows: int, width: int = 384) -> Tensor:
    """``(rows, width)`` random unit vectors."""
    points = torch.randn(rows, width, generator=torch.Generator().manual_seed(0))
    return functional.normalize(points, dim=-1)


def our_search(points: Tensor, k: int) -> Side:
    """The exact k nearest of each of the vectors among them all; gives their numbers."""

    def run() -> tuple[list[float], Any]:
        began = time.perf_counter()
        found = top_k(points, points, k)
        return [time.perf_counter() - began], found.ids.numpy()

    return Side("nsbench", run)


def in_common(ours: Any, theirs: Any) -> str:
    """Return the share of their neighbours that are among ours."""
    k = theirs.shape[1]
    shared = np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(ours, theirs, strict=True)])
    return f"Share of neighbours in common: {shared:.6f}."


def search_job(rounds: int, rows: int, k: int) -> Compared:
    """Against faiss's flat index, its building included."""
    points = points_of(rows)

    def run_theirs() -> tuple[list[float], Any]:
        import faiss

        index = faiss.IndexFlatIP(points.shape[1])
        began = time.perf_counter()
        faiss.omp_set_num_threads(torch.get_num_threads())
        index.add(points.numpy())
        _, ids = index.search(points.numpy(), k)
        return [time.perf_counter() - began], ids

    side = Side(f"faiss {version('faiss-cpu')} flat", run_theirs)
    unit = f"top {k}, {rows} x {rows} x {points.shape[1]}"
    return compared("search", unit, our_search(points, k), side, rounds, in_common)


class _Vectors:
    """A model that hands out vectors, and notes when the search among them begins and ends."""

    device = torch.device("cpu")

    def __init__(self, points: Tensor) -> None:
        self.points = points.numpy()
        self.began = self.ended = 0.0

    def encode_query(self, texts: Sequence[str], **settings: object) -> Any:
        self.began = time.perf_counter()
        return self.points

    encode_document = encode_query

    def similarity(self, left: Any, right: Any) -> Tensor:
        from sentence_transformers.util import cos_sim

        found: Tensor = cos_sim(left, right)
        return found

    def similarity_pairwise(self, left: Any, right: Any) -> Tensor:
        from sentence_transformers.util import pairwise_cos_sim

        self.ended = time.perf_counter()
        found: Tensor = pairwise_cos_sim(left, right)
        return found


def mine_job(rounds: int, rows: int, k: int) -> Compared:
    """Against the search inside ``mine_hard_negatives``, from its vectors to its ranking.

    Every vector is query and document, and its own positive, which theirs keeps room for: both
    rank k places.
    """
    points = points_of(rows)

    def run_theirs() -> tuple[list[float], Any]:
        from datasets import Dataset
        from sentence_transformers.util import mine_hard_negatives

        names = [str(i) for i in range(rows)]
        model = _Vectors(points)
        mine_hard_negatives(
            Dataset.from_dict({"anchor": names, "positive": names}),
            cast(Any, model),
            range_max=k - 1,
            num_negatives=1,
            verbose=False,
        )
        return [model.ended - model.began], None

    side = Side(f"sentence-transformers {version('sentence-transformers')}", run_theirs)
    unit = f"top {k}, {rows} x {rows} x {points.shape[1]}"
    return compared("mine", unit, our_search(points, k), side, rounds)


JOBS = (
    "step-static",
    "step-static-dropout",
    "step-minilm",
    "step-minilm-bf16",
    "eval-static",
    "eval-minilm",
    "eval-minilm-bf16",
    "eval-static-scifact",
    "eval-minilm-scifact",
    "search",
    "mine",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the jobs asked for and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--steps", type=int, help=f"of a training run ({STATIC_STEPS} for static, else {STEPS})"
    )
    parser.add_argument("--rows", type=int, default=50_000, help="of the search")
    parser.add_argument("--k", type=int, default=100, help="of the search")
    parser.add_argument(
        "--tasks", nargs="*", default=["STS7"], help="of the evaluations but SciFact's"
    )
    parser.add_argument("--out", type=Path, help=f"folder whose {PEERS} keeps the rounds")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.jobs) - set(JOBS))
    if unknown:
        parser.error(f"unknown job {unknown[0]!r}; there are {', '.join(JOBS)}")
    for name, low in (("rounds", 1), ("threads", 1), ("steps", SKIPPED + 2), ("rows", 1), ("k", 1)):
        number = getattr(given, name)
        if number is not None and number < low:
            parser.error(f"--{name} must be at least {low}, got {number}")
    torch.set_num_threads(given.threads)
    place = f"{given.threads} thread(s), torch {torch.__version__}, {platform.machine()}\n"
    sys.stdout.write(place + HEAD)
    for job in given.jobs or JOBS:
        if job in ("search", "mine"):
            search = search_job if job == "search" else mine_job
            found = search(given.rounds, given.rows, given.k)
        elif job.startswith("eval"):
            tasks = ["SciFact"] if job.endswith("scifact") else given.tasks
            found = eval_job(job, given.rounds, tasks)
        else:
            found = step_job(job, given.rounds, given.steps)
        tell(found, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
