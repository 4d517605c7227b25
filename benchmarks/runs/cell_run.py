"""The life of a cell: data, encoder, training, evaluation, record, and every way it can end."""

import logging
import platform
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from nsbench.benchmarks.contrast.distributed import ApartError, team
from nsbench.benchmarks.data._describe import describe_data
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.device import device_name, pick_device
from nsbench.benchmarks.difficulty.alarms import find_alarms
from nsbench.benchmarks.encoders import Encoder, hash_weights, trained_state
from nsbench.benchmarks.evaluation.first_dimensions import (
    check_lengths,
)
from nsbench.benchmarks.evaluation.leakage import scan_cell
from nsbench.benchmarks.evaluation.ranking import query_table
from nsbench.benchmarks.files import FULL, StorageError, write_atomically
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.matrix.plugin_code import check_plugin_code
from nsbench.benchmarks.precision import cpu_features
from nsbench.benchmarks.records import CellPaths, RunRecord, scores_csv, write_record
from nsbench.benchmarks.records.cache import ContentCache
from nsbench.benchmarks.records.cell import Cell
from nsbench.benchmarks.records.record import DIFFICULTY_VERSION
from nsbench.benchmarks.runs.cell_log import cell_log
from nsbench.benchmarks.runs.cell_scores import score
from nsbench.benchmarks.runs.threads import single_threaded
from nsbench.benchmarks.training.measures import Trained
from nsbench.benchmarks.training.projection import project_cell
from nsbench.benchmarks.training.regime import SkipCellError, built_encoder, train_cell
from nsbench.benchmarks.training.replay.capture import replay_mode
from nsbench.benchmarks.training.snapshots import Snapshots, made_by
from nsbench.samplers._cache import cached

_LONGEST = 500
"""Characters of a reason; of a longer one the middle is left out, as its end may say what to do."""
WORTH = 1.0
"""Seconds a result must take to compute before it is kept for other cells."""


@cached(1)
def environment() -> dict[str, Any]:
    """Return versions, platform, instructions of the CPU and git commit, for the record."""
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
    return {"versions": versions, "git": commit, "platform": system, "cpu": cpu_features()}


@dataclass(frozen=True)
class Place:
    """Machine and settings under which a cell runs.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` ...
        threads: Threads of torch and BLAS.
        snapshot_seconds: Seconds between two snapshots of the training; 0 writes none. A snapshot
            that exists is resumed.
        cache: Folder where cells share results that are slow to compute; ``None`` for none.
        keep_weights: Whether the trained weights stay in the cell's folder.
        keep_texts: Whether the texts of the choices stay there.
    """

    device: str = "auto"
    threads: int = 1
    snapshot_seconds: float = 0.0
    cache: Path | None = None
    keep_weights: bool = False
    keep_texts: bool = True

    def shared(self) -> ContentCache:
        """Return what cells share."""
        return ContentCache(self.cache, worth=WORTH)

    def snapshots(self, cell: Cell, paths: CellPaths) -> Snapshots:
        """Return the snapshots of a cell that runs here."""
        same = {"device": device_name(self.device), "threads": self.threads} | self._steps(cell)
        return Snapshots(
            paths.snapshot, made_by(cell, environment(), **same), self.snapshot_seconds
        )

    def describe(self, cell: Cell) -> dict[str, Any]:
        """Return the environment of a cell that runs here, for its record."""
        here = {"device": self.device, "threads": self.threads} | self._steps(cell)
        return environment() | here

    def _steps(self, cell: Cell) -> dict[str, Any]:
        mode = replay_mode(pick_device(self.device), cell.budget.chunk)
        return {"processes": team().size, "replay": mode}


ANYWHERE = Place()
OnStep = Callable[[int], None]


@dataclass(frozen=True)
class Outcome:
    """The end of a cell.

    Attributes:
        found: Fields of its record.
        resumable: Whether a retry should resume from the last snapshot.
    """

    found: dict[str, Any]
    resumable: bool = False


def run_cell(
    cell: Cell,
    paths: CellPaths,
    place: Place = ANYWHERE,
    *,
    skip: str = "",
    on_step: OnStep = lambda step: None,
) -> RunRecord:
    """Run a cell and write its record, however it ends.

    Args:
        cell: The cell.
        paths: Its folder; created if missing.
        place: Where it runs.
        skip: Reason to skip it: only the record is written; empty to run it.
        on_step: Called after each step.

    Returns:
        The record, also of a failed cell. KeyboardInterrupt passes through, with no record.

    Raises:
        StorageError: If the results folder cannot be written; there is no record then.
    """
    started, clock = datetime.now(UTC), perf_counter()
    paths.folder.mkdir(parents=True, exist_ok=True)
    plain = cell.plain() | {"labels": cell.labels}
    write_atomically(paths.cell, pretty_json(plain))
    about, snapshots = place.describe(cell), place.snapshots(cell, paths)
    with cell_log(paths.log, str(cell)) as log:
        outcome = _outcome(cell, paths, place, skip=skip, on_step=on_step, snapshots=snapshots)
        found = outcome.found
        for alarm in found.get("alarms", ()):
            log.warning("alarm %s: %s", alarm["name"], alarm["text"])
        log.info("end: %s %s", found["status"], found.get("reason", ""))
    seconds = {"total": round(perf_counter() - clock + snapshots.before, 3)}
    resumed = {"resumed_after_step": snapshots.resumed} if snapshots.resumed else {}
    record = RunRecord(
        **found | {"seconds": found.get("seconds", {}) | seconds},
        key=cell.key,
        cell=plain,
        environment=about | resumed,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_record(paths, record)
    if not outcome.resumable:
        snapshots.remove()
    return record


def _outcome(
    cell: Cell,
    paths: CellPaths,
    place: Place,
    *,
    skip: str,
    on_step: OnStep,
    snapshots: Snapshots,
) -> Outcome:
    """Train and score a cell; any failure but a full disk becomes an outcome."""
    try:
        if skip:
            raise SkipCellError(skip)
        with single_threaded(place.threads):
            found = _train_and_score(cell, paths, place, on_step=on_step, snapshots=snapshots)
        return Outcome({"status": "done"} | found)
    except SkipCellError as reason:
        return Outcome({"status": "skipped", "reason": str(reason)})
    except StorageError:  # not the cell's fault: it has yet to run
        raise
    except (Exception, SystemExit) as error:  # a plugin may call sys.exit
        if isinstance(error, OSError) and error.errno in FULL:  # a library's own file
            raise StorageError.at(Path(error.filename or paths.folder), error) from None
        logging.getLogger("nsbench.cell").error("failed", exc_info=True)
        failed = {"reason": _reason(error), "traceback": traceback.format_exc()}
        failed["status"] = "failed"
        return Outcome(failed, resumable=isinstance(error, ApartError))


def _reason(error: BaseException) -> str:
    """Say in one line why a cell failed."""
    said = f"{error}"
    if isinstance(error, MemoryError):
        said = "memory ran out: use fewer workers or a smaller batch"
    elif isinstance(error, SystemExit):
        said = f"the cell's code called sys.exit({error.code!r})"
    line = f"{type(error).__name__}: {said}".splitlines()[0]
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    return line


def _train_and_score(
    cell: Cell, paths: CellPaths, place: Place, *, on_step: OnStep, snapshots: Snapshots
) -> dict[str, Any]:
    """Train a cell, score it and write its files; return fields of its record."""
    seconds: dict[str, float] = {}
    device, trained = pick_device(place.device), None
    check_plugin_code(cell)
    with _timed(seconds, "data"):
        data = load_data(cell.data)
    with _timed(seconds, "encoder"):
        encoder = built_encoder(cell).to(device)
    if reason := check_lengths(cell.evaluation.dimensions, encoder.dimension):
        raise SkipCellError(reason)
    with _timed(seconds, "train"):
        if cell.budget.steps:
            team().announce(cell.key.encode())
            with _failing_together():
                shared = place.shared()
                trained = train_cell(
                    cell, data, encoder, device, on_step=on_step, snapshots=snapshots, cache=shared
                )
        else:
            project_cell(cell, data, encoder)
    if snapshots.resumed:
        seconds["train"] = round(seconds["train"] + snapshots.before, 3)
    with _timed(seconds, "evaluate"):
        weights = hash_weights(encoder.state_dict().items())
        scored = score(cell, encoder, weights, results=paths.mteb)
        if place.keep_weights:
            kept = trained_state(encoder)  # of an adapter, without its base; copies share nothing
            state = {k: v.detach().cpu().clone().contiguous() for k, v in kept.items()}
            write_atomically(paths.weights, save(state))
    with _timed(seconds, "leakage"):
        leakage = scan_cell(cell, paths.leakage)
    write_atomically(paths.scores, scores_csv(scored.scores))
    if scored.queries:
        write_table(paths.queries, query_table(scored.queries))
    if trained is not None:
        _write_tables(paths, trained, keep_texts=place.keep_texts)
    return {
        "cost": {} if trained is None else trained.cost,
        "alarms": []
        if trained is None
        else find_alarms(trained.difficulty, scored.scores, cell, trained.cost),
        "data": describe_data(data),
        "evaluation": {k: v for k, v in scored.info.items() if k != "seconds"},
        "leakage": leakage,
        "weights": weights,
        "seconds": seconds,
        "difficulty_version": DIFFICULTY_VERSION,
    }


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = perf_counter()
    yield
    seconds[name] = round(perf_counter() - start, 3)


@contextmanager
def _failing_together() -> Iterator[None]:
    """Let the processes of a team fail together or not at all.

    Raises:
        ApartError: If this process fails and another does not.
    """
    try:
        yield
    except Exception as error:
        team().meet(error)
        raise


def _write_tables(paths: CellPaths, trained: Trained, *, keep_texts: bool) -> None:
    paths.texts.unlink(missing_ok=True)
    kept = ("texts",) if keep_texts else ()
    for name in ("difficulty", "histograms", "probe", "choices", *kept):
        write_table(getattr(paths, name), getattr(trained, name))
    write_atomically(paths.training, trained.training.to_csv(index=False, lineterminator="\n"))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet, atomically."""
    write_atomically(path, table.to_parquet(index=False, compression="zstd"))


def train_along(cell: Cell, paths: CellPaths, place: Place) -> None:
    """Do a further process's part of a cell whose record the first one writes; see `run_cell`.

    Raises:
        ApartError: If this process fails and the others do not.
    """
    device, snapshots = pick_device(place.device), place.snapshots(cell, paths)
    with single_threaded(place.threads):
        try:
            encoder, data = built_encoder(cell).to(device), load_data(cell.data)
            train_cell(cell, data, encoder, device, snapshots=snapshots, cache=place.shared())
        except Exception as error:
            team().meet(error)


def trained_encoder(cell: Cell, *, threads: int = 1) -> Encoder:
    """Train the cell's encoder again on the CPU and return it; no record is written."""
    encoder = built_encoder(cell)
    with single_threaded(threads):
        if cell.budget.steps:
            train_cell(cell, load_data(cell.data), encoder, torch.device("cpu"))
        else:
            project_cell(cell, load_data(cell.data), encoder)
    return encoder
