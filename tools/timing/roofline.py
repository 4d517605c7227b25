"""Distance of a transformer's training step and evaluation from the limit of the processor.

    python -m tools.timing.roofline [JOB ...] [--threads 1] [--batch 64] [--out DIR]

Jobs: ``step-fp32``, ``step-bf16``, ``eval-fp32``, ``eval-bf16``. Measured in one run: matrix
products of the shapes of the model's layers, a copy in memory, and the step or the evaluation
itself. The share is the time that its products would take at the measured rate, over its time;
products are counted at two floating-point operations per weight and token forward and four
backward, padding not counted. Of an evaluation the note tells the operations that take most time.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.encoders import encoders, token_table
from nsbench.benchmarks.encoders._linear import laid_out
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.records.cell import make
from tools.timing._compare import PLACE, keep, place
from tools.timing._steps import CPU, MINILM, cell_of, checkpoint, our_steps

ROOFLINE = "roofline.csv"
COLUMNS = (
    *("job", "threads", "batch", "tokens", "seconds", "products_gflops"),
    *("product_rate_gflops", "copy_gb_per_second", "share", *PLACE),
)
JOBS = ("step-fp32", "step-bf16", "eval-fp32", "eval-bf16")
PROFILED = 16
"""One of so many texts is encoded under torch's profiler."""
MOST = 6
"""Operations that a note tells of."""
ROWS = 2048
TIMES = 7


def _best(act: Callable[[], object]) -> float:
    """Seconds of the fastest of a few runs, after one that warms up."""
    act()
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def product_rate(kind: torch.dtype, width: int, inner: int) -> float:
    """10^9 operations per second of a layer's products, ``(ROWS, width) @ (width, inner)``.

    The faster of torch's own product and, where there is one, that of the layers that score.
    """
    rows = torch.randn(ROWS, width).to(kind)
    layer = nn.Linear(width, inner, bias=False).to(kind)
    with torch.inference_mode():
        seconds = _best(lambda: layer(rows))
        with laid_out(layer):
            seconds = min(seconds, _best(lambda: layer(rows)))
    return 2 * ROWS * width * inner / seconds / 1e9


def copy_rate() -> float:
    """10^9 bytes per second read and written by a copy of 256 MiB."""
    source = torch.zeros(64 << 20)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / _best(lambda: target.copy_(source)) / 1e9


@dataclass(frozen=True)
class Work:
    """A job that was timed.

    Attributes:
        encoder: The transformer at work.
        batch: Texts or pairs that went through it.
        tokens: Their tokens, padding not counted.
        seconds: How long it took.
        operations: Floating-point operations of its products per weight and token.
        note: What else is to be said.
    """

    encoder: Any
    batch: int
    tokens: float
    seconds: float
    operations: int
    note: str = ""


def step_work(precision: str, batch: int, steps: int) -> Work:
    """A training step of MiniLM."""
    cell = cell_of({"name": MINILM}, "dropout", steps, batch_size=batch, precision=precision)
    data = load_data(cell.data)
    encoder: Any = make(encoders, cell.encoder).build(data.texts, 0)
    lengths = token_table(encoder, data.texts, cell.budget.max_length, CPU).lengths
    tokens = 2 * batch * float(lengths[data.anchor].mean())
    step = statistics.median(our_steps(cell, data).run()[0])
    return Work(encoder, batch, tokens, step, 6)


def evaluation_work(precision: str, tasks: Sequence[str]) -> Work:
    """Scoring MiniLM on tasks: every distinct sentence goes through it once."""
    encoder, model = checkpoint({"name": MINILM}, precision)
    texts: list[str] = []

    def noted(new: Sequence[str]) -> Any:
        texts.extend(new)
        return model.encode(new)

    began = time.perf_counter()
    found = evaluate(replace(model, encode=noted), tasks, geometry=False)
    seconds = time.perf_counter() - began
    lengths = token_table(encoder, texts, encoder.max_length, CPU).lengths
    encoding = found.info["seconds"]["encode"]
    most = most_of(lambda: model.encode(texts[::PROFILED]))
    note = f"Encoding {encoding:.1f} s. Its operations: {most}."
    return Work(encoder, len(texts), float(lengths.sum()), seconds, 2, note)


def most_of(act: Callable[[], object]) -> str:
    """The operations that something spends most time in, and their shares of it, in words."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        act()
    by_name = {e.key: e.self_cpu_time_total for e in seen.key_averages()}
    most = sorted(by_name, key=lambda name: -by_name[name])[:MOST]
    total = sum(by_name.values())
    return ", ".join(f"{name.removeprefix('aten::')} {by_name[name] / total:.0%}" for name in most)


def row_of(job: str, work: Work) -> dict[str, Any]:
    """One row of `COLUMNS`."""
    model = work.encoder.model
    weights = sum(p.numel() for p in model.encoder.parameters() if p.dim() == 2)
    kind = torch.bfloat16 if job.endswith("bf16") else torch.float32
    rate = product_rate(kind, model.config.hidden_size, model.config.intermediate_size)
    needed = work.operations * weights * work.tokens / 1e9
    found = {
        "tokens": f"{work.tokens:.0f}",
        "seconds": f"{work.seconds:.4g}",
        "products_gflops": f"{needed:.4g}",
        "product_rate_gflops": f"{rate:.4g}",
        "copy_gb_per_second": f"{copy_rate():.3g}",
        "share": f"{needed / rate / work.seconds:.3f}",
    }
    shared = {"job": job, "threads": torch.get_num_threads(), "batch": work.batch}
    return shared | found | {"note": work.note} | place()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a line per job."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64, help="of a training step")
    parser.add_argument("--steps", type=int, default=12, help="of a training run")
    parser.add_argument("--tasks", nargs="*", default=["STS7"], help="of the evaluation")
    parser.add_argument("--out", type=Path, help=f"folder whose {ROOFLINE} keeps what was found")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.jobs) - set(JOBS))
    if unknown:
        parser.error(f"unknown job {unknown[0]!r}; there are {', '.join(JOBS)}")
    torch.set_num_threads(given.threads)
    for job in given.jobs or JOBS:
        what, precision = job.split("-")
        if what == "step":
            row = row_of(job, step_work(precision, given.batch, given.steps))
        else:
            row = row_of(job, evaluation_work(precision, given.tasks))
        sys.stdout.write(
            f"{job}: {row['batch']} {'pairs' if what == 'step' else 'texts'}, {row['tokens']} "
            f"tokens, {row['seconds']} s; its products need {row['products_gflops']} GFLOP at "
            f"{row['product_rate_gflops']} GFLOP/s: {float(row['share']):.0%} of it. "
            f"Copy {row['copy_gb_per_second']} GB/s. {row['note']}\n"
        )
        sys.stdout.flush()
        if given.out:
            keep(given.out / ROOFLINE, [row], COLUMNS, "job")
    return 0


if __name__ == "__main__":
    sys.exit(main())
