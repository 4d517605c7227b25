"""One cell's life: data, encoder, training, evaluation, record; and every way it can end."""

import io
import json
import math
import platform
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
import torch

from nsbench.benchmarks.alarms import find_alarms
from nsbench.benchmarks.augmentations import augmentations, bound
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.cell import Cell
from nsbench.benchmarks.celllog import cell_log
from nsbench.benchmarks.checkpoints import BestCheckpoint
from nsbench.benchmarks.data import TrainingData, datasets, false_negative_rate
from nsbench.benchmarks.difficulty_histograms import joined_histograms
from nsbench.benchmarks.encoders import Encoder, encode_texts, encoders, hash_weights
from nsbench.benchmarks.evaluate import EngineChoice, EvaluatedModel, evaluate
from nsbench.benchmarks.evaluate import Evaluation as Evaluated
from nsbench.benchmarks.frequent_tokens import frequent_token_scores
from nsbench.benchmarks.leakage import scan_cell
from nsbench.benchmarks.matrix import entailment_data, load_data, make
from nsbench.benchmarks.measuring import Trained
from nsbench.benchmarks.mteb_tasks import resolve as resolve_tasks
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.phases import few_shot, joined, phase_data
from nsbench.benchmarks.plugin_code import check_plugin_code
from nsbench.benchmarks.precision import autocast
from nsbench.benchmarks.records import (
    CellPaths,
    RunRecord,
    StorageError,
    content_key,
    scores_csv,
    write_atomically,
    write_record,
)
from nsbench.benchmarks.regimes import Phase, regimes
from nsbench.benchmarks.seeds import seed_for
from nsbench.benchmarks.supervision import Supervision
from nsbench.benchmarks.train import Recipe, train
from nsbench.samplers import samplers


class SkipCellError(Exception):
    """This pairing makes no sense; the message is the reason."""


def pick_device(name: str) -> torch.device:
    """``auto`` is the first CUDA device, or the CPU where there is none.

    Raises:
        ValueError: If a CUDA device is asked for and none is there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {name!r}, but torch sees no CUDA device here")
    return torch.device(name)


@contextmanager
def single_threaded(threads: int) -> Iterator[None]:
    """Fix the thread count of torch and BLAS: the order of sums is part of the result."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@cache
def environment() -> dict[str, Any]:
    """Versions, platform and git commit, for the record."""
    versions = {"python": platform.python_version()}
    for name in ("nsbench", "torch", "transformers", "mteb", "numpy", "scipy", "datasets"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = ""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).resolve().parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = ""
    system = f"{platform.system()} {platform.machine()}"
    return {"versions": versions, "git": commit, "platform": system}


def run_cell(
    cell: Cell,
    paths: CellPaths,
    *,
    device: str = "auto",
    threads: int = 1,
    skip: str = "",
    on_step: Callable[[int], None] = lambda step: None,
    keep_weights: bool = False,
) -> RunRecord:
    """Run a cell and write its record, whatever happens.

    Args:
        cell: The cell.
        paths: Its folder; made if missing.
        device: ``auto``, ``cpu``, ``cuda`` ...
        threads: Threads of torch and BLAS.
        skip: Why it is skipped, if it is: only the record is written.
        on_step: Called after each step.
        keep_weights: Whether the trained weights stay in its folder.

    Returns:
        The record, also for a failed cell. KeyboardInterrupt passes through, with no record.

    Raises:
        StorageError: If the results folder cannot be written; there is no record then.
    """
    started, clock = datetime.now(UTC), perf_counter()
    paths.folder.mkdir(parents=True, exist_ok=True)
    plain = cell.plain() | {"labels": cell.labels}
    write_atomically(paths.cell, _json(plain))
    record = RunRecord(
        key=cell.key,
        cell=plain,
        status="done",
        environment=environment() | {"device": device, "threads": threads},
        started=started.isoformat(timespec="seconds"),
    )
    with cell_log(paths.log, str(cell)) as log:
        try:
            if skip:
                raise SkipCellError(skip)
            with single_threaded(threads):
                record = _train_and_score(
                    cell, paths, record, pick_device(device), on_step, keep_weights
                )
        except SkipCellError as reason:
            record = replace(record, status="skipped", reason=str(reason))
        except StorageError:  # not the cell's fault: it stays to be done
            raise
        except Exception as error:  # any other failure is a record, never the end of the matrix
            record = replace(
                record,
                status="failed",
                reason=f"{type(error).__name__}: {error}".splitlines()[0][:500],
                traceback=traceback.format_exc(),
            )
            log.error("failed", exc_info=True)
        for alarm in record.alarms:
            log.warning("alarm %s: %s", alarm["name"], alarm["text"])
        log.info("end: %s %s", record.status, record.reason)
    record = replace(
        record,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=record.seconds | {"total": round(perf_counter() - clock, 3)},
    )
    write_record(paths, record)
    return record


def _train_and_score(
    cell: Cell,
    paths: CellPaths,
    record: RunRecord,
    device: torch.device,
    on_step: Callable[[int], None],
    keep_weights: bool,
) -> RunRecord:
    seconds: dict[str, float] = {}

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        start = perf_counter()
        yield
        seconds[name] = round(perf_counter() - start, 3)

    check_plugin_code(cell)
    with phase("data"):
        data = load_data(cell.data)
    with phase("encoder"):
        encoder = built_encoder(cell).to(device)
    trained = None
    with phase("train"):
        if cell.budget.steps:
            trained = train_cell(cell, data, encoder, device, on_step)
    with phase("evaluate"):
        weights = hash_weights(encoder.state_dict().items())
        found = score(cell, encoder, weights, results=paths.mteb)
        scores = found.scores
        if keep_weights:
            write_atomically(paths.weights, weights_bytes(encoder))
    with phase("leakage"):
        leakage = scan_cell(cell, paths.leakage)
    write_atomically(paths.scores, scores_csv(scores))
    alarms: list[dict[str, Any]] = []
    if trained is not None:
        _write_parquet(paths.difficulty, trained.difficulty)
        _write_parquet(paths.histograms, trained.histograms)
        _write_parquet(paths.probe, trained.probe)
        _write_parquet(paths.choices, trained.choices)
        write_atomically(paths.training, trained.training.to_csv(index=False, lineterminator="\n"))
        alarms = find_alarms(trained.difficulty, scores, cell)
    return replace(
        record,
        cost={} if trained is None else trained.cost,
        alarms=alarms,
        data=describe_data(data),
        evaluation={k: v for k, v in found.info.items() if k != "seconds"},
        leakage=leakage,
        weights=weights,
        seconds=seconds,
    )


def built_encoder(cell: Cell) -> Encoder:
    """The cell's encoder as it starts, on the CPU."""
    source = entailment_data(cell.regime, cell.data)
    more = () if source in (None, cell.data) else load_data(source).texts
    texts = (*load_data(cell.data).texts, *more)
    encoder: Encoder = make(encoders, cell.encoder).build(texts, seed_for(cell.seed, "init"))
    return encoder


def trained_encoder(cell: Cell, *, threads: int = 1) -> Encoder:
    """The cell's encoder trained once more, on the CPU; no record is written."""
    encoder = built_encoder(cell)
    with single_threaded(threads):
        if cell.budget.steps:
            train_cell(cell, load_data(cell.data), encoder, torch.device("cpu"), lambda step: None)
    return encoder


def weights_bytes(encoder: Encoder) -> bytes:
    """The weights as a safetensors file."""
    from safetensors.torch import save

    state = {k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
    return save(state)


def train_cell(
    cell: Cell,
    data: TrainingData,
    encoder: Encoder,
    device: torch.device,
    on_step: Callable[[int], None],
) -> Trained:
    """Train an encoder in place, through all phases of the cell's regime.

    Args:
        cell: What to train.
        data: Its data, as `nsbench.benchmarks.matrix.load_data` gives them.
        encoder: On ``device`` already.
        device: Where tensors live.
        on_step: Called after each step, counted through all phases.

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
    done = 0
    for phase in phases:
        last = phase is phases[-1]

        def look(step: int, last: bool = last, before: int = done, phase: Phase = phase) -> None:
            if best is not None and last:
                best.look(step, phase.budget.steps)
            on_step(before + step)

        rows = phase_data(phase, data, pairs)
        if last:
            rows = few_shot(
                rows,
                cell.limit,
                batch_size=phase.budget.batch_size,
                seed=seed_for(cell.seed, "limit"),
            )
        parts.append((phase, _train_phase(cell, phase, rows, encoder, device, look)))
        done += phase.budget.steps
    trained = parts[0][1] if len(phases) == 1 else joined(parts)
    if len(phases) > 1:
        seen = [t.histograms.iloc[: 0 if p.kind == "entailment" else None] for p, t in parts]
        steps = [sum(p.budget.steps for p, _ in parts[:i]) for i in range(len(parts))]
        trained.histograms = joined_histograms(list(zip(steps, seen, strict=True)))
        trained.probe, trained.choices = parts[-1][1].probe, parts[-1][1].choices
    if best is not None:
        trained.cost |= best.restore()
    return trained


def _train_phase(
    cell: Cell,
    phase: Phase,
    data: TrainingData,
    encoder: Encoder,
    device: torch.device,
    look: Callable[[int], None],
) -> Trained:
    budget = phase.budget
    alone = phase.kind == "entailment"
    sampler = samplers.make("in_batch") if alone else make(samplers, cell.sampler)
    if "truth" in getattr(sampler, "needs", ()) and data.meaning is None:
        raise SkipCellError(f"{cell.sampler.name} needs labels, and {data.name} has none")
    if data.rows < budget.batch_size:
        raise ValueError(
            f"batch_size is {budget.batch_size}, but {data.name} has only {data.rows} rows"
        )
    objective = objectives.make("info_nce") if alone else make(objectives, cell.objective)
    pool = candidates.make("in_batch") if alone else make(candidates, cell.candidates)
    views = tuple(
        [bound(make(augmentations, c), encoder) for c in view] for view in (cell.view1, cell.view2)
    )
    directions = "one" if alone else str(cell.candidates.params.get("directions", "auto"))
    if directions == "auto":
        directions = str(getattr(objective, "views", "one"))
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
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return train(
            encoder,
            data,
            Recipe(
                sampler=sampler,
                objective=objective,
                views=((), ()) if alone else (views[0], views[1]),
                directions=directions,
                budget=budget,
                difficulty_every=cell.difficulty_every,
                seed_for=lambda purpose: seed_for(cell.seed, prefix + purpose),
                open_pool=pool.open,
                look=look,
                tokens_key=content_key(
                    [cell.encoder.plain(), dict(cell.inputs), data.digest, budget.max_length]
                ),
                supervision=supervision,
            ),
            device,
        )


def score(cell: Cell, encoder: Encoder, weights: str, *, results: Path | None = None) -> Evaluated:
    """All scores of a checkpoint: the tests its data brings, mteb tasks, geometry."""
    model = evaluated_model(cell, encoder, weights)
    own = make(datasets, cell.data).tests() if "own" in cell.evaluation.tasks else []
    tasks = tuple(t for t in cell.evaluation.tasks if t != "own")
    engine = cast(EngineChoice, cell.evaluation.engine)
    found = evaluate(model, tasks, own, engine=engine, results=results if tasks else None)
    if cell.evaluation.frequent_tokens and tasks:
        first = resolve_tasks(tasks)[0]
        numbers = cell.evaluation.frequent_tokens
        found.scores.extend(frequent_token_scores(encoder, model, first, numbers))
    return found


def evaluated_model(cell: Cell, encoder: Encoder, weights: str) -> EvaluatedModel:
    """The checkpoint as evaluation sees it: a name, a revision from its weights, a function."""

    def encode(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        trained = getattr(encoder, "pooling", None)
        device = next(encoder.parameters()).device
        if trained is not None and cell.evaluation.pooling:
            object.__setattr__(encoder, "pooling", cell.evaluation.pooling)
        try:
            with autocast(cell.evaluation.precision, device):
                return encode_texts(encoder, texts)
        finally:
            if trained is not None:
                object.__setattr__(encoder, "pooling", trained)

    return EvaluatedModel(
        name=f"nsbench/{cell.key}",
        revision=weights[:40],
        dimension=encoder.dimension,
        encode=encode,
    )


def describe_data(data: TrainingData) -> dict[str, Any]:
    """Size, duplicates and content hash of the training data, for the record."""
    group = data.group
    counts = np.bincount(group)
    rate = false_negative_rate(data)
    return {
        "name": data.name,
        "digest": data.digest,
        "revision": data.revision,
        "rows": data.rows,
        "texts": len(data.texts),
        "unique_texts": len(counts),
        "duplicate_share": float((counts[group] > 1).mean()) if len(group) else 0.0,
        "labelled": data.meaning is not None,
        "false_negative_rate": None if math.isnan(rate) else rate,
    }


def _write_parquet(path: Path, table: Any) -> None:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    write_atomically(path, buffer.getvalue())


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
