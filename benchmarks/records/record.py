"""Records on disk, and the only code that knows file names in a results folder. No torch here.

Layout of a results folder::

    <out>/matrix.json                      what was asked (the resolved configuration), last run
    <out>/runs/<slug>-<key>/cell.json      the cell, written first
                            scores.csv     task, split, subset, metric, value, n_examples, main
                            difficulty.parquet   step, quantity, mean, std, q01 ... q99, count
                            histograms.parquet   step, quantity, bin_low, count (cumulative)
                            probe.parquet  anchor, place, candidate: the hardest at the end
                            choices.parquet  what was chosen in the first and the last step
                            texts.parquet  text, content: the texts of choices.parquet
                            queries.parquet  scores of retrieval tests by query
                            training.csv   step, loss, learning_rate, ...
                            log.txt        what the cell printed
                            weights.safetensors  only with keep_weights = true under [run]
                            record.json    last, by atomic rename: status, costs, alarms, ...
                            claim.json     the process that runs it; removed when it is done
                            checkpoint.safetensors  state of a long training; removed at its end
    <out>/mteb/results/nsbench__<key>/<weights>/<Task>.json     mteb's own layout
    <out>/leakage/<key>.json   overlap of a training text with an evaluation set
    <out>/leaderboard.csv, scores.csv, tables/, figures/      written by nsbench.analysis

No record means not finished. Everything in a record but `RUN_FIELDS` is a function of the cell.
"""

import csv
import io
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json, spreadsheet_plain, spreadsheet_safe
from nsbench.benchmarks.records.digests import BLANK, digests_of, is_signed, signed
from nsbench.benchmarks.records.json_file import RecordError, parsed, read_json_bytes
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.schema import record_fault, shortened
from nsbench.benchmarks.records.shared import Shared

Status = Literal["pending", "running", "done", "failed", "skipped"]
RUN_FIELDS = ("started", "finished", "seconds", "environment", "files", "digest")

SCORE_COLUMNS = ("task", "split", "subset", "metric", "value", "n_examples", "main")
MEAN_METRIC = "cosine_spearman_mean"
"""Mean over a year's sub-sets of each one's correlation; see `evaluation.sts_parts`."""
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
DIFFICULTY_VERSION = 2
"""Meaning of the measured difficulty. 1 had the softmax weights of every objective in place of the
shares of its gradient, and joined the levels of a selection."""
QUERY_COLUMNS = ("task", "split", "subset", "query", "metric", "value")
CHOICE_COLUMNS = ("step", "place", "anchor", "candidates", "candidate", "weight")
SEEN_COLUMNS = (
    *("positive", "positive_similarity", "similarity", "rank", "same_meaning", "above_in_guide"),
)
"""Further columns of choices; records of older versions lack them."""
TEXT_COLUMNS = ("text", "content")


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
    """End of one cell.

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
            `nsbench.benchmarks.evaluation.leakage.Overlap`. Empty for an untrained cell.
        weights: SHA-256 of the trained weights.
        seconds: Wall time by phase: ``data, encoder, train, evaluate, leakage, total``.
        environment: Versions, platform, instructions of the CPU, device, threads, git commit.
        started: ISO-8601 UTC.
        finished: ISO-8601 UTC.
        files: SHA-256 of the cell's files by name; empty in records of older versions.
        digest: SHA-256 of the record's own text with 64 zeros in its place; empty likewise.
        difficulty_version: `DIFFICULTY_VERSION` of its difficulty; records without it have 1.
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
    files: dict[str, str] = field(default_factory=dict, compare=False)
    digest: str = field(default="", compare=False)
    difficulty_version: int = 1

    def plain(self) -> dict[str, Any]:
        """Return the record as plain data, without digests that an older version lacks."""
        out = asdict(self)
        return {k: v for k, v in out.items() if v or k not in ("files", "digest")}


_RECORD_FIELDS = frozenset(f.name for f in fields(RunRecord))


def read_record(paths: CellPaths, shared: Shared | None = None) -> RunRecord:
    """Read ``record.json``.

    Args:
        paths: Files of the cell.
        shared: For one who reads many records and keeps them.

    Raises:
        AbsentError: If it is missing.
        RecordError: If it is truncated or of another shape, its status is unknown, it was
            changed since it was written, or it names another key than its folder.
    """
    data = read_json_bytes(f"{paths.folder}/record.json")
    raw = parsed(data, paths.record, shared)
    if fault := record_fault(raw):
        raise RecordError(f"{paths.record} is not a record: {fault}")
    if raw["status"] not in ("done", "failed", "skipped"):
        raise RecordError(f"{paths.record}: unknown status {shortened(raw['status'])}")
    if (digest := raw.get("digest")) and not is_signed(data, digest):
        raise RecordError(
            f"{paths.record} was changed or damaged: its SHA-256 is not the one that it holds"
        )
    if odd := _another_key(paths, raw["key"]):
        raise RecordError(odd)
    if not raw.keys() <= _RECORD_FIELDS:
        raw = {k: v for k, v in raw.items() if k in _RECORD_FIELDS}
    return RunRecord(**raw)


def _another_key(paths: CellPaths, key: str) -> str:
    """Say that a record names another key than its folder; empty if it does not."""
    parent, _, name = str(paths.folder).rpartition("/")
    if not parent.endswith("runs") or name.rpartition("-")[2] == key:
        return ""
    return f"{paths.record} is of another cell: it names the key {shortened(key)}, not its folder's"


def record_text(record: RunRecord) -> str:
    """Return the text of a record, with its own digest."""
    return signed(pretty_json(asdict(record) | {"digest": BLANK}))


def write_record(paths: CellPaths, record: RunRecord) -> None:
    """Write ``record.json`` by atomic rename: from now on the cell has ended.

    The digests of the files that the cell's folder holds are added.
    """
    whole = replace(record, files=digests_of(paths.folder))
    write_atomically(paths.record, record_text(whole))


def scores_csv(scores: list[Score]) -> str:
    """The scores as CSV, sorted, floats as the shortest text that reads back the same.

    Names pass through `spreadsheet_safe`; see `read_scores`.
    """
    rows = sorted(scores, key=lambda s: (s.task, s.split, s.subset, s.metric))
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(SCORE_COLUMNS)
    for s in rows:
        value = repr(float(s.value)) if math.isfinite(s.value) else "nan"
        names = map(spreadsheet_safe, (s.task, s.split, s.subset, s.metric))
        out.writerow((*names, value, s.n_examples, s.main))
    return text.getvalue()


def read_scores(path: Path) -> list[Score]:
    """Read what `scores_csv` gave."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Score(
                task=spreadsheet_plain(row["task"]),
                split=spreadsheet_plain(row["split"]),
                subset=spreadsheet_plain(row["subset"]),
                metric=spreadsheet_plain(row["metric"]),
                value=float(row["value"]),
                n_examples=int(row["n_examples"]),
                main=row["main"] == "True",
            )
            for row in csv.DictReader(file)
        ]
