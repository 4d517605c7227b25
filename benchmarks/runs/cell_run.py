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

from nsbench.benchmarks.contrast.distributed import ApartError, team
from nsbench.benchmarks.data import TrainingData, datasets, false_negative_rate
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.device import device_name, pick_device
from nsbench.benchmarks.difficulty.alarms import find_alarms
from nsbench.benchmarks.encoders import Encoder, encode_texts, hash_weights
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import EngineChoice, evaluate
from nsbench.benchmarks.evaluation.evaluate import Evaluation as Evaluated
from nsbench.benchmarks.evaluation.frequent_tokens import frequent_token_scores
from nsbench.benchmarks.evaluation.leakage import scan_cell
from nsbench.benchmarks.evaluation.mteb.tasks import scored as scored_tasks
from nsbench.benchmarks.files import StorageError, write_atomically
from nsbench.benchmarks.matrix.plugin_code import check_plugin_code
from nsbench.benchmarks.precision import autocast
from nsbench.benchmarks.records import CellPaths, RunRecord, scores_csv, write_record
from nsbench.benchmarks.records.cache import ContentCache
from nsbench.benchmarks.records.cell import Cell, make
from nsbench.benchmarks.runs.celllog import cell_log
from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.regime import SkipCellError, built_encoder, train_cell
from nsbench.benchmarks.training.replay.capture import way_of_steps
from nsbench.benchmarks.training.snapshots import Snapshots, made_by

WORTH = 1.0
"""Seconds that something must take to make before it is kept for other cells."""


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
    snapshot_seconds: float = 0.0,
    cache: Path | None = None,
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
        snapshot_seconds: Seconds between two snapshots of its state, from which it is gone on
            with should it be killed; 0 for none. One that is there is used.
        cache: Folder where cells share what is slow to make; ``None`` for none.

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
        environment=environment()
        | {"device": device, "threads": threads, "processes": team().size}
        | {"replay": way_of_steps(pick_device(device), cell.budget.chunk)},
        started=started.isoformat(timespec="seconds"),
    )
    snapshots = _snapshots(cell, paths, device, threads, snapshot_seconds)
    apart = False
    with cell_log(paths.log, str(cell)) as log:
        try:
            if skip:
                raise SkipCellError(skip)
            with single_threaded(threads):
                record = _train_and_score(
                    cell,
                    paths,
                    record,
                    pick_device(device),
                    on_step,
                    keep_weights,
                    snapshots,
                    ContentCache(cache, worth=WORTH),
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
            apart = isinstance(error, ApartError)
            log.error("failed", exc_info=True)
        for alarm in record.alarms:
            log.warning("alarm %s: %s", alarm["name"], alarm["text"])
        log.info("end: %s %s", record.status, record.reason)
    record = replace(
        record,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=record.seconds | {"total": round(perf_counter() - clock + snapshots.before, 3)},
    )
    if snapshots.resumed:
        record = replace(
            record, environment=record.environment | {"resumed_after_step": snapshots.resumed}
        )
    write_record(paths, record)
    if not apart:  # as after a crash: a retry goes on from it
        snapshots.remove()
    return record


def _snapshots(cell: Cell, paths: CellPaths, device: str, threads: int, every: float) -> Snapshots:
    same = {"device": device_name(device), "threads": threads, "processes": team().size}
    same |= {"replay": way_of_steps(pick_device(device), cell.budget.chunk)}
    return Snapshots(paths.snapshot, made_by(cell, environment(), **same), every)


def _train_together(
    cell: Cell,
    data: TrainingData,
    encoder: Encoder,
    device: torch.device,
    on_step: Callable[[int], None],
    snapshots: Snapshots,
    cache: ContentCache,
) -> Trained:
    """Train with all processes of the team, if there are more; they fail together or not at all."""
    team().announce(cell.key.encode())
    try:
        return train_cell(cell, data, encoder, device, on_step, snapshots, cache)
    except Exception:
        team().meet()
        raise


def train_along(
    cell: Cell,
    paths: CellPaths,
    *,
    device: str,
    threads: int,
    snapshot_seconds: float,
    cache: Path | None = None,
) -> None:
    """Do a further process's part of a cell whose records another one keeps; see `run_cell`.

    Raises:
        ApartError: If this process fails and the others do not.
    """
    snapshots = _snapshots(cell, paths, device, threads, snapshot_seconds)
    with single_threaded(threads):
        try:
            encoder = built_encoder(cell).to(pick_device(device))
            data = load_data(cell.data)
            on, shared = pick_device(device), ContentCache(cache, worth=WORTH)
            train_cell(cell, data, encoder, on, lambda step: None, snapshots, shared)
        except Exception:
            team().meet()


def _train_and_score(
    cell: Cell,
    paths: CellPaths,
    record: RunRecord,
    device: torch.device,
    on_step: Callable[[int], None],
    keep_weights: bool,
    snapshots: Snapshots,
    cache: ContentCache,
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
            trained = _train_together(cell, data, encoder, device, on_step, snapshots, cache)
    if snapshots.resumed:
        seconds["train"] = round(seconds["train"] + snapshots.before, 3)
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


def score(cell: Cell, encoder: Encoder, weights: str, *, results: Path | None = None) -> Evaluated:
    """All scores of a checkpoint: the tests its data brings, mteb tasks, geometry."""
    model = evaluated_model(cell, encoder, weights)
    own = make(datasets, cell.data).tests() if "own" in cell.evaluation.tasks else []
    tasks = scored_tasks(cell.evaluation.tasks, cell.evaluation.absent)
    engine = cast(EngineChoice, cell.evaluation.engine)
    found = evaluate(model, tasks, own, engine=engine, results=results if tasks else None)
    if cell.evaluation.frequent_tokens and tasks:
        numbers = cell.evaluation.frequent_tokens
        found.scores.extend(frequent_token_scores(encoder, model, tasks[0], numbers))
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
        **({"report": data.report} if data.report else {}),
    }


def _write_parquet(path: Path, table: Any) -> None:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    write_atomically(path, buffer.getvalue())


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
