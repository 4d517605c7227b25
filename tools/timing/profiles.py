"""Parts of the time of our side of a comparison, and what is left of it at best.

    python -m tools.timing.profiles [JOB ...] [--threads 2] [--out DIR]

Jobs: the steps, evaluations and minings of `tools.timing.peers` and `tools.timing.mining` by their
names, at smaller sizes, and ``own-cost``: what comes before the first cell, and what a cell of a
matrix costs besides its training and evaluation. The parts of a job are told by ``place`` (a
timer's signal looks at what Python is running) and, inside one process, by ``operation`` (torch's
profiler); the shares of each add up to one. Rows of kind ``limit`` are the time of something that
cannot be done without: a perfect run takes that long. Seconds are of one step, one evaluation,
one command, and of `own-cost` of one process or cell. With ``--out`` they are kept as CSV, and as
a table that people read. Needs the extras ``offline`` and ``st``.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch.profiler import ProfilerActivity, profile

from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.encoders import encoders, token_table
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.cell import Choice, make
from nsbench.benchmarks.training.regime import train_cell
from tools.timing import matrix, mining, roofline
from tools.timing._compare import PLACE, keep, place
from tools.timing._sampler import OTHER, watched
from tools.timing._steps import CPU, MINILM, cell_of, checkpoint

PROFILES, TABLE = "profiles.csv", "profiles.md"
COLUMNS = ("job", "threads", "kind", "part", "seconds", "share", *PLACE)
JOBS = (
    *("step-static", "step-static-dropout", "step-minilm", "step-minilm-bf16", "eval-minilm"),
    *("eval-minilm-scifact", "eval-static-scifact", *mining.JOBS, "own-cost"),
)
SMALL = 0.01
"""A part with a smaller share is counted among the others."""
ROWS = "rows of tables, read and written"
OPERATIONS = {
    "Optimizer.step": "optimizer",
    "aten::_fused_adamw": "optimizer",
    "aten::scaled_dot_product_attention": "attention",
    **dict.fromkeys(("aten::linear", "aten::matmul", "aten::mm", "aten::bmm"), "matrix products"),
    **dict.fromkeys(("aten::addmm", "MmBackward0"), "matrix products"),
    **dict.fromkeys(("mkldnn::_linear", "mkldnn::_linear_pointwise"), "matrix products"),
    **dict.fromkeys(("aten::gelu", "aten::gelu_backward"), "GELU"),
    **dict.fromkeys(("aten::layer_norm", "aten::native_layer_norm"), "layer norm"),
    "aten::native_layer_norm_backward": "layer norm",
    **dict.fromkeys(("aten::embedding", "aten::embedding_bag", "aten::index"), ROWS),
    **dict.fromkeys(("aten::_embedding_bag", "aten::index_select", "EmbeddingBagBackward0"), ROWS),
    **dict.fromkeys(("aten::embedding_dense_backward", "SumOfKeptBackward"), ROWS),
    **dict.fromkeys(("aten::index_add_", "aten::index_copy_", "aten::index_put_"), ROWS),
    **dict.fromkeys(("aten::native_dropout", "aten::dropout", "aten::random_"), "random numbers"),
    **dict.fromkeys(("aten::bernoulli_", "aten::randint", "aten::randperm"), "random numbers"),
    **dict.fromkeys(("aten::unique_dim", "aten::_unique2", "aten::sort"), "sorting"),
    **dict.fromkeys(("aten::topk", "aten::argsort"), "sorting"),
    **dict.fromkeys(("aten::to", "aten::copy_", "aten::cat", "aten::contiguous"), "copies"),
}
"""Kind of an operation; one that is not here belongs to the one that called it."""
SIZES = {"mine-pairs": 2000, "mine-scifact": 300}
"""Pairs, or documents, as in the stored comparison."""
STEPS = {"step-static": (12, 52), "step-minilm": (1, 5)}
"""Steps that warm up, and all."""
SERVER = "nsbench.benchmarks.runs.executors._preload"
PLANNING = """
import sys
from nsbench.benchmarks.matrix.config import load_config
from nsbench.benchmarks.matrix.expand import expand
expand(load_config(sys.argv[1]))
"""
NEEDED = ("mteb's own code", "tokenizing", "search")
"""Places that a ranking by mteb's rules cannot do without."""
LEAST = ("matrix products", ROWS)
"""Operations that a step of a table of tokens cannot do without."""
Seconds = Mapping[str, float]
Watched = Callable[[AbstractContextManager[Any]], float]


def by_operation(seen: Any, seconds: float) -> dict[str, float]:
    """Seconds of every kind of operation; what is between them is the rest.

    Args:
        seen: Profile of torch.
        seconds: Of all that was profiled.
    """
    found: defaultdict[str, float] = defaultdict(float)
    for event in seen.events():
        caller: Any = event
        while caller is not None and _operation(caller.name) is None:
            caller = caller.cpu_parent
        kind = "other operations" if caller is None else _operation(caller.name)
        found[str(kind)] += event.self_cpu_time_total / 1e6
    found["between operations: Python, NumPy, tokenizers"] = max(0.0, seconds - sum(found.values()))
    return found


def _operation(name: str) -> str | None:
    name = name.removeprefix("autograd::engine::evaluate_function: ").partition("#")[0]
    return OPERATIONS.get(name)


def rows_of(job: str, kind: str, parts: Seconds, seconds: float) -> list[dict[str, Any]]:
    """Rows of `COLUMNS`, the largest part first.

    Args:
        job: Its name.
        kind: ``place``, ``operation``, ``part`` or ``limit``.
        parts: Of each its time; those but of limits are scaled so that they add up.
        seconds: Of the job, without a profiler.
    """
    whole = seconds if kind == "limit" else sum(parts.values())
    shares: defaultdict[str, float] = defaultdict(float)
    for part, spent in parts.items():
        shares[part if kind == "limit" or spent >= SMALL * whole else OTHER] += spent / whole
    shared = {"job": job, "threads": torch.get_num_threads(), "kind": kind, **place()}
    return [
        shared | {"part": part, "seconds": f"{share * seconds:.3g}", "share": f"{share:.3f}"}
        for part, share in sorted(shares.items(), key=lambda item: (item[0] == OTHER, -item[1]))
    ]


def inside(job: str, act: Watched) -> tuple[float, list[dict[str, Any]]]:
    """Profile something of this process: alone, by place and by operation.

    Args:
        job: Its name.
        act: Does it, once warm inside the context that it is given; returns the seconds there.

    Returns:
        Its seconds without a profiler, and its rows.
    """
    seconds = act(nullcontext())
    places: defaultdict[str, float] = defaultdict(float)
    act(watched(places))
    seen = profile(activities=[ProfilerActivity.CPU])
    operations = by_operation(seen, act(seen))
    rows = rows_of(job, "place", places, seconds)
    return seconds, rows + rows_of(job, "operation", operations, seconds)


def step_rows(job: str) -> list[dict[str, Any]]:
    """A training step."""
    static = job.startswith("step-static")
    spec: dict[str, Any] = {"name": "static", "source": MINILM} if static else {"name": MINILM}
    warm, steps = STEPS["step-static" if static else "step-minilm"]
    precision = "bf16" if job.endswith("bf16") else "fp32"
    batch = 256 if static else 64
    cell = cell_of(
        spec, "none" if static else "dropout", steps, batch_size=batch, precision=precision
    )
    if job == "step-static-dropout":
        views = (Choice("embedding_dropout", {"rate": 0.2}),)
        cell = replace(cell, view1=views, view2=views)
    data = load_data(cell.data)

    def act(around: AbstractContextManager[Any]) -> float:
        encoder = make(encoders, cell.encoder).build(data.texts, 0)
        stamps: list[float] = []

        def stamp(step: int) -> None:
            if len(stamps) == warm:
                inner.enter_context(around)
            stamps.append(time.perf_counter())
            if len(stamps) == steps:
                inner.close()

        with ExitStack() as inner:
            train_cell(cell, data, encoder, CPU, on_step=stamp)
        return stamps[-1] - stamps[warm]

    seconds, rows = inside(job, act)
    each = seconds / (steps - 1 - warm)
    for row in rows:
        row["seconds"] = f"{float(row['share']) * each:.3g}"
    if static:
        alone = sum(float(r["seconds"]) for r in rows if r["part"] in LEAST)
        return rows + rows_of(job, "limit", {f"{' and '.join(LEAST)}, alone": alone}, each)
    encoder: Any = make(encoders, cell.encoder).build([], 0)
    lengths = token_table(encoder, data.texts, cell.budget.max_length, CPU).lengths
    tokens = 2 * batch * float(lengths[data.anchor].mean())
    return rows + limit_of(job, roofline.Work(encoder, batch, tokens, each, 6))


def limit_of(job: str, work: roofline.Work) -> list[dict[str, Any]]:
    """The row of the products that a transformer cannot do without."""
    share = float(roofline.row_of(job, work)["share"])
    return rows_of(job, "limit", {"matrix products alone": share * work.seconds}, work.seconds)


def evaluation_rows(job: str) -> list[dict[str, Any]]:
    """Scoring a checkpoint, data and libraries loaded."""
    static = job.startswith("eval-static")
    encoder, model = checkpoint(
        {"name": "static", "source": MINILM} if static else {"name": MINILM}
    )
    tasks, texts = ["SciFact" if job.endswith("scifact") else "STSBenchmark"], set[str]()

    def noted(new: Sequence[str]) -> Any:
        texts.update(new)
        return model.encode(new)

    evaluate(replace(model, encode=noted), tasks, geometry=False)  # as in later rounds of `peers`

    def act(around: AbstractContextManager[Any]) -> float:
        began = time.perf_counter()
        with around:
            evaluate(model, tasks, geometry=False)
        return time.perf_counter() - began

    seconds, rows = inside(job, act)
    if static:
        alone = {r["part"]: float(r["seconds"]) for r in rows if r["part"] in NEEDED}
        return rows + rows_of(
            job, "limit", {f"{' and '.join(alone)}, alone": sum(alone.values())}, seconds
        )
    tokens = float(token_table(encoder, [*texts], encoder.max_length, CPU).lengths.sum())
    return rows + limit_of(job, roofline.Work(encoder, len(texts), tokens, seconds, 2))


def in_child(code: str, arguments: Callable[[], Sequence[str]]) -> tuple[float, dict[str, float]]:
    """Wall seconds of code in a separate Python process, and those of its parts."""
    threads, watch = torch.get_num_threads(), "from tools.timing._sampler import main; main()"
    alone = mining.seconds_of(["-c", code, *arguments()], threads)
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder, "seconds.json")
        whole = mining.seconds_of(["-c", watch, str(noted), code, *arguments()], threads)
        found: dict[str, float] = json.loads(noted.read_text("utf-8"))
    found["starting and ending Python"] = max(0.0, whole - sum(found.values()))
    return alone, found


def importing(*names: str) -> float:
    """Seconds of a Python process that imports some modules, above those of one that does not."""
    bare, full = (
        min(mining.seconds_of(["-c", code], 1) for _ in range(3))
        for code in ("pass", f"import {', '.join(names)}")
    )
    return full - bare


def mining_rows(job: str, size: int) -> list[dict[str, Any]]:
    """``nsbench mine``, from the command to the files."""
    with tempfile.TemporaryDirectory() as folder:
        pairs, corpus, _ = mining.written(job, size, Path(folder))
        read = (Path(name).read_text("utf-8") for name in (pairs, corpus) if name)
        lines = [line for text in read for line in text.splitlines()]

        def arguments() -> list[str]:
            return mining.our_arguments(pairs, corpus, Path(tempfile.mkdtemp(dir=folder), "out"))

        seconds, parts = in_child(mining.OURS, arguments)
    texts = sorted({text for line in lines for text in json.loads(line).values()})
    rows = rows_of(job, "place", parts, seconds)
    encoder, _ = checkpoint({"name": MINILM})
    tokens = float(token_table(encoder, texts, encoder.max_length, CPU).lengths.sum())
    least = limit_of(job, roofline.Work(encoder, len(texts), tokens, seconds, 2))
    start = {"importing torch and transformers alone": importing("torch", "transformers")}
    return rows + least + rows_of(job, "limit", start, seconds)


def own_rows(job: str, steps: int = 20) -> list[dict[str, Any]]:
    """Costs of a matrix besides training and evaluation: before its cells, and in them.

    The seconds are of one planning process, of the server that workers are forked from (they
    start together), and of one cell, the first ones of the workers left out.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        asked, out = Path(folder, "timing.toml"), Path(folder, "out")
        asked.write_text(tomli_w.dumps(matrix.matrix(steps, 256)), "utf-8")
        run = ["run", str(asked), "--out", str(out)]
        for name, code, more in (
            ("planning", PLANNING, [str(asked)]),
            ("server", f"import {SERVER}", list[str]()),
        ):
            seconds, parts = in_child(code, more.copy)
            rows += rows_of(f"{job}, {name}", "place", parts, seconds)
            start = {"importing torch alone": importing("torch")}
            rows += rows_of(f"{job}, {name}", "limit", start, seconds)
        mining.seconds_of(["-c", matrix.COMMAND, *run, "--workers", "1"], 1)
        records = [r for _, r in ResultsFolder(out).records()[0] if r.status == "done"]
    cells = [dict(r.seconds) for r in sorted(records, key=lambda r: r.started)[1:]]
    names = [name for name in cells[0] if name != "total"]
    parts = {n: statistics.median(cell[n] for cell in cells) for n in names}
    total = statistics.median(cell["total"] for cell in cells)
    parts["files, folder and claim"] = max(0.0, total - sum(parts.values()))
    return rows + rows_of(f"{job}, warm cell", "place", parts, total)


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Text of the rows for people, a section for each job."""
    lines = ["# Where the time goes", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), ""]
    for job in dict.fromkeys(row["job"] for row in rows):
        its = [row for row in rows if row["job"] == job]
        lines += [f"## {job}", "", "| kind | part | ms | share |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {r['kind']} | {r['part']} | {1e3 * float(r['seconds']):.3g} | "
            f"{100 * float(r['share']):.1f} % |"
            for r in its
        ]
        lines.append("")
    first = rows[0]
    lines.append(f"{first['threads']} threads, torch {first['torch']}, {first['platform']}.")
    return "\n".join(lines) + "\n"


def measured(job: str) -> list[dict[str, Any]]:
    """Rows of a job by its name."""
    if job.startswith("step"):
        return step_rows(job)
    if job.startswith("eval"):
        return evaluation_rows(job)
    return own_rows(job) if job == "own-cost" else mining_rows(job, SIZES[job])


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile the jobs asked for, print their parts and keep them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help=f"folder of {PROFILES} and {TABLE}")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.jobs) - set(JOBS))
    if unknown:
        parser.error(f"unknown job {unknown[0]!r}; there are {', '.join(JOBS)}")
    if given.threads < 1:
        parser.error(f"--threads must be at least 1, got {given.threads}")
    torch.set_num_threads(given.threads)
    for job in given.jobs or JOBS:
        rows = measured(job)
        for r in rows:
            line = f"{r['job']:22} {r['kind']:9} {1e3 * float(r['seconds']):9.3g} ms "
            sys.stdout.write(f"{line}{100 * float(r['share']):5.1f} %  {r['part']}\n")
        sys.stdout.flush()
        if given.out:
            keep(given.out / PROFILES, rows, COLUMNS, "job")
            with (given.out / PROFILES).open(newline="", encoding="utf-8") as file:
                write_atomically(given.out / TABLE, table([*csv.DictReader(file)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
