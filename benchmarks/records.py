"""Records on disk, and the only code that knows file names in a results folder. No torch here.

Layout of a results folder::

    <out>/matrix.json                      what was asked (the resolved configuration), last run
    <out>/runs/<slug>-<key>/cell.json      the cell, written first
                            scores.csv     task, split, subset, metric, value, n_examples, main
                            difficulty.parquet   step, quantity, mean, std, q01 ... q99, count
                            histograms.parquet   step, quantity, bin_low, count (cumulative)
                            probe.parquet  anchor, place, candidate: the hardest at the end
                            choices.parquet  what was chosen in the first and the last step
                            training.csv   step, loss, learning_rate, ...
                            log.txt        what the cell printed
                            weights.safetensors  only with keep_weights = true under [run]
                            record.json    last, by atomic rename: status, costs, alarms, ...
                            claim.json     who is at work on it; gone when it is done
                            checkpoint.safetensors  state of a long training; gone when it is done
    <out>/mteb/results/nsbench__<key>/<weights>/<Task>.json     mteb's own layout
    <out>/leakage/<key>.json   overlap of a training text with an evaluation set
    <out>/leaderboard.csv, scores.csv, tables/, figures/      written by nsbench.analysis

No record means not finished. Everything in a record but `RUN_FIELDS` is a function of the cell.
"""

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from nsbench.benchmarks.shared import Shared, exact_bytes, parse

Status = Literal["pending", "running", "done", "failed", "skipped"]
STATUSES: tuple[Status, ...] = ("pending", "running", "done", "failed", "skipped")
RUN_FIELDS = ("started", "finished", "seconds", "environment")

SCORE_COLUMNS = ("task", "split", "subset", "metric", "value", "n_examples", "main")
MEAN_METRIC = "cosine_spearman_mean"
"""Mean over a year's sub-sets of each one's correlation; see `nsbench.benchmarks.sts_parts`."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
DIFFICULTY_COLUMNS = (
    "step",
    "quantity",
    "mean",
    "std",
    *(f"q{int(100 * q):02d}" for q in QUANTILES),
    "count",
)
HISTOGRAM_COLUMNS = ("step", "quantity", "bin_low", "count")
PROBE_HARDEST = 0.05
"""Share of the probe's texts that counts as an anchor's hardest."""
PROBE_COLUMNS = ("anchor", "place", "candidate")
CHOICE_COLUMNS = ("step", "place", "anchor", "candidates", "candidate", "weight")


class RecordError(ValueError):
    """A file in a results folder cannot be read; the message names it."""


class AbsentError(RecordError):
    """A file of a results folder is not there."""


class StorageError(OSError):
    """A results folder cannot be written; the message says where and why."""

    @classmethod
    def at(cls, path: Path, error: OSError) -> "StorageError":
        """The error of the system, with the place and what to do."""
        if isinstance(error, cls):
            return error
        return cls(
            f"cannot write {path}: {error.strerror or error}. Nothing that was finished is lost: "
            "make room or give leave to write there, then run the same command again"
        )


@dataclass(frozen=True)
class Score:
    """One score of one checkpoint.

    Attributes:
        task: ``STS12``, ``planted-sts``, ``geometry`` ...
        split: Split of the task.
        subset: mteb's subset, or ``default``.
        metric: ``cosine_spearman``, ``accuracy``, ``uniformity`` ...
        value: The score; STS correlations are in [-1, 1].
        n_examples: Pairs or texts it was computed on.
        main: True for the task's main metric, which leaderboards read.
    """

    task: str
    split: str
    subset: str
    metric: str
    value: float
    n_examples: int
    main: bool


@dataclass(frozen=True)
class RunRecord:
    """How one cell ended.

    Attributes:
        key: The cell's key.
        cell: The cell as plain data, the content of ``cell.json``.
        status: ``done``, ``failed`` or ``skipped``.
        reason: Why it was skipped or failed, one line.
        traceback: Traceback of a failed cell.
        cost: Counts: ``steps, passes_anchor, passes_positive, passes_negative, passes_guide,
            passes_mining, tokens, negatives_per_anchor, masked_known, masked_duplicates,
            empty_rows``.
        alarms: Degeneracies seen, each ``{"name", "value", "limit", "text"}``.
        data: ``{"digest", "rows", "texts", "duplicate_share", ...}`` of what was trained on.
        evaluation: How the scores came about: engine, source and aggregation by task, notes.
        leakage: By task, how much of its text the training data hold; see
            `nsbench.benchmarks.leakage.Overlap`. Empty for an untrained cell.
        weights: SHA-256 of the trained weights.
        seconds: Wall time by phase: ``data, encoder, train, evaluate, leakage, total``.
        environment: Versions, platform, device, threads, precision, git commit.
        started: ISO-8601 UTC.
        finished: ISO-8601 UTC.
    """

    key: str
    cell: dict[str, Any]
    status: Status
    reason: str = ""
    traceback: str = ""
    cost: dict[str, float] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    leakage: dict[str, Any] = field(default_factory=dict)
    weights: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""


_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_AT_ONCE = 1 << 16
_RECORD_FIELDS = frozenset(f.name for f in fields(RunRecord))


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the text that keys are made of.

    Raises:
        ValueError: If a number is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_key(value: Any) -> str:
    """First 12 hex digits of the SHA-256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def slug(text: str, limit: int = 48) -> str:
    """Letters, digits, dot, dash and underscore only, so that no name becomes a path."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")[:limit] or "cell"


def write_atomically(path: Path, data: str | bytes | Iterable[bytes]) -> None:
    """Write to a temporary name in the same folder, flush to disk, then rename over ``path``.

    Args:
        path: The file.
        data: All of it, or pieces in order.

    Raises:
        StorageError: If that cannot be done; ``path`` is then as it was.
    """
    whole = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.writelines([whole] if isinstance(whole, bytes) else whole)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError.at(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_bytes(path: str) -> bytes:
    """All of a file, in fewer calls than `open` makes: a large study has 200,000 of them.

    Raises:
        OSError: If it cannot be read.
    """
    handle = os.open(path, _READ)
    try:
        parts = [os.read(handle, _AT_ONCE)]
        while parts[-1]:
            parts.append(os.read(handle, _AT_ONCE))
    finally:
        os.close(handle)
    return parts[0] if len(parts) == 2 else b"".join(parts)


def read_json(path: Path | str, shared: Shared | None = None) -> Any:
    """Parse a JSON file; whole numbers beyond 64 bits may come as floats.

    Args:
        path: The file.
        shared: For one who reads many alike and keeps what they say.

    Raises:
        AbsentError: If it is missing.
        RecordError: If it is truncated or not JSON.
    """
    try:
        return (shared.parse if shared else parse)(read_bytes(str(path)))
    except FileNotFoundError as error:
        raise AbsentError(f"cannot read {path}: {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"cannot read {path}: {error}") from None


@dataclass(frozen=True)
class CellPaths:
    """Names of the files one cell leaves."""

    folder: Path

    @property
    def cell(self) -> Path:
        """What the cell is."""
        return self.folder / "cell.json"

    @property
    def scores(self) -> Path:
        """Its scores."""
        return self.folder / "scores.csv"

    @property
    def difficulty(self) -> Path:
        """Its negative-difficulty statistics."""
        return self.folder / "difficulty.parquet"

    @property
    def histograms(self) -> Path:
        """Counts of similarities and percentiles by bin, summed from the first step on."""
        return self.folder / "histograms.parquet"

    @property
    def probe(self) -> Path:
        """How each anchor of the probe ranks the candidates at the end, hardest first."""
        return self.folder / "probe.parquet"

    @property
    def choices(self) -> Path:
        """What the sampler chose for some anchors of the first and the last batch."""
        return self.folder / "choices.parquet"

    @property
    def training(self) -> Path:
        """Loss and learning rate by step."""
        return self.folder / "training.csv"

    @property
    def weights(self) -> Path:
        """Its trained weights, where they were to be kept."""
        return self.folder / "weights.safetensors"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "log.txt"

    @property
    def record(self) -> Path:
        """How it ended; written last."""
        return self.folder / "record.json"

    @property
    def mteb(self) -> Path:
        """Folder of all cells' results in mteb's own layout, beside ``runs``."""
        return self.folder.parent.parent / "mteb"

    @property
    def leakage(self) -> Path:
        """Folder of all scans of training text against evaluation sets, beside ``runs``."""
        return self.folder.parent.parent / "leakage"

    @property
    def claim(self) -> Path:
        """Who is at work on it."""
        return self.folder / "claim.json"

    @property
    def snapshot(self) -> Path:
        """Its state in the middle of a long training; gone when it is done."""
        return self.folder / "checkpoint.safetensors"

    def is_cell(self) -> bool:
        """Whether a cell was begun here."""
        names = (f"{self.folder}/record.json", f"{self.folder}/cell.json")
        return any(map(os.path.isfile, names))

    def temporary(self) -> list[Path]:
        """Files that a process left when it was killed while writing."""
        return sorted(self.folder.glob(".*.tmp"))

    def drop_temporary(self) -> None:
        """Remove them; only for the one that holds the claim."""
        for path in self.temporary():
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class ResultsFolder:
    """A results folder: where cells live and what stands there."""

    root: Path

    @property
    def runs(self) -> Path:
        """Parent of the cells' folders."""
        return self.root / "runs"

    @property
    def matrix(self) -> Path:
        """The resolved configuration of the last run."""
        return self.root / "matrix.json"

    def write_matrix(self, name: str, config: Any, cells: Sequence[Mapping[str, Any]]) -> None:
        """Write what was asked; parts that cells share are written once.

        Args:
            name: The matrix's name.
            config: The resolved configuration as plain data.
            cells: ``{"key", "folder", "cell"}`` of every cell.

        Raises:
            StorageError: If it cannot be written.
        """
        parts: dict[bytes, int] = {}
        texts, rows = [], []
        for row in cells:
            packed = {}
            for axis, part in row["cell"].items():
                known = len(parts)
                packed[axis] = parts.setdefault(exact_bytes(part), known)
                if packed[axis] == known:
                    texts.append(canonical_json(part))
            rows.append({"key": row["key"], "folder": row["folder"], "cell": packed})
        lines = [
            '{"schema": 2',
            f'"name": {json.dumps(name, ensure_ascii=False)}',
            f'"config": {json.dumps(config, sort_keys=True, ensure_ascii=False)}',
            '"parts": [\n ' + ",\n ".join(texts) + "\n]",
            '"cells": [\n ' + ",\n ".join(map(canonical_json, rows)) + "\n]}",
        ]
        write_atomically(self.matrix, ",\n".join(lines) + "\n")

    def read_matrix(self) -> dict[str, Any]:
        """What was asked, by this version or an older one; equal parts of cells are one object.

        Raises:
            RecordError: If it is missing, truncated or of another shape.
        """
        raw = read_json(self.matrix)
        if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list):
            raise RecordError(f"{self.matrix} is not a matrix: it has no list of cells")
        if raw.get("schema") != 2:
            return raw
        parts = raw.pop("parts", None)
        try:
            for row in raw["cells"]:
                row["cell"] = {axis: parts[part] for axis, part in row["cell"].items()}
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise RecordError(f"{self.matrix} lists a cell of another shape: {error}") from None
        return raw

    def cell(self, name: str, key: str) -> CellPaths:
        """Files of the cell ``key``; ``name`` only makes the folder readable."""
        return CellPaths(self.runs / f"{slug(name)}-{key}")

    def folders(self) -> Iterator[CellPaths]:
        """Every cell folder, sorted by name; foreign files are passed over."""
        for paths in self.subfolders()[0]:
            if paths.is_cell():
                yield paths

    def subfolders(self) -> tuple[list[CellPaths], list[str]]:
        """Every folder that may be a cell's, and the names of what is none, both sorted by name."""
        if not self.runs.is_dir():
            return [], []
        entries = sorted(os.scandir(self.runs), key=lambda e: e.name)
        real = [e.is_dir(follow_symlinks=False) for e in entries]
        return (
            [CellPaths(self.runs / e.name) for e, own in zip(entries, real, strict=True) if own],
            [e.name for e, own in zip(entries, real, strict=True) if not own],
        )

    def records(self) -> tuple[list[tuple[CellPaths, RunRecord]], list[str]]:
        """All readable records, and one line for every file that could not be read."""
        good: list[tuple[CellPaths, RunRecord]] = []
        bad: list[str] = []
        for paths in self.folders():
            if not paths.record.exists():
                continue
            try:
                good.append((paths, read_record(paths)))
            except RecordError as error:
                bad.append(str(error))
        return good, bad


def read_record(paths: CellPaths, shared: Shared | None = None) -> RunRecord:
    """Read ``record.json``.

    Args:
        paths: Files of the cell.
        shared: For one who reads many records and keeps them.

    Raises:
        AbsentError: If it is missing.
        RecordError: If it is truncated, of another shape, or its status is unknown.
    """
    raw = read_json(f"{paths.folder}/record.json", shared)
    if not isinstance(raw, dict) or not {"key", "cell", "status"} <= raw.keys():
        raise RecordError(f"{paths.record} is not a record: key, cell and status are needed")
    if raw["status"] not in ("done", "failed", "skipped"):
        raise RecordError(f"{paths.record}: unknown status {raw['status']!r}")
    if not isinstance(raw["cell"], dict) or not isinstance(raw["key"], str):
        raise RecordError(f"{paths.record}: cell must be a table and key a string")
    if not raw.keys() <= _RECORD_FIELDS:
        raw = {k: v for k, v in raw.items() if k in _RECORD_FIELDS}
    return RunRecord(**raw)


def write_record(paths: CellPaths, record: RunRecord) -> None:
    """Write ``record.json`` by atomic rename: from now on the cell has ended."""
    write_atomically(paths.record, record_text(asdict(record)))


def record_text(record: Mapping[str, Any]) -> str:
    """A record's plain data as it stands in ``record.json``."""
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def scores_csv(scores: list[Score]) -> str:
    """The scores as CSV, sorted, floats as the shortest text that reads back the same."""
    rows = sorted(scores, key=lambda s: (s.task, s.split, s.subset, s.metric))
    out = [",".join(SCORE_COLUMNS)]
    for s in rows:
        value = repr(float(s.value)) if math.isfinite(s.value) else "nan"
        cells = (s.task, s.split, s.subset, s.metric, value, str(s.n_examples), str(s.main))
        out.append(",".join(_quoted(c) for c in cells))
    return "\n".join(out) + "\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if re.search(r'[",\n\r]', cell) else cell


def describe_choice(choice: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """``band(high=0.05)``: a name with the parameters that differ from ``defaults``."""
    given = choice.get("params") or {}
    shown = {k: v for k, v in given.items() if defaults is None or defaults.get(k, ...) != v}
    inside = ", ".join(f"{k}={v}" for k, v in sorted(shown.items()))
    return f"{choice['name']}({inside})" if inside else str(choice["name"])
