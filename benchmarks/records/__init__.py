"""Data on disk: cells, records, claims, caches. No torch, no mteb."""

from nsbench.benchmarks.records.folder import ResultsFolder
from nsbench.benchmarks.records.json_file import AbsentError, RecordError, read_json
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.record import (
    CHOICE_COLUMNS,
    DIFFICULTY_COLUMNS,
    DIFFICULTY_VERSION,
    HISTOGRAM_COLUMNS,
    MEAN_METRIC,
    PROBE_COLUMNS,
    PROBE_HARDEST,
    QUANTILES,
    RUN_FIELDS,
    SCORE_COLUMNS,
    SEEN_COLUMNS,
    TEXT_COLUMNS,
    RunRecord,
    Score,
    read_record,
    read_scores,
    scores_csv,
    write_record,
)

__all__ = [
    "CHOICE_COLUMNS",
    "DIFFICULTY_COLUMNS",
    "DIFFICULTY_VERSION",
    "HISTOGRAM_COLUMNS",
    "MEAN_METRIC",
    "PROBE_COLUMNS",
    "PROBE_HARDEST",
    "QUANTILES",
    "RUN_FIELDS",
    "SCORE_COLUMNS",
    "SEEN_COLUMNS",
    "TEXT_COLUMNS",
    "AbsentError",
    "CellPaths",
    "RecordError",
    "ResultsFolder",
    "RunRecord",
    "Score",
    "read_json",
    "read_record",
    "read_scores",
    "scores_csv",
    "write_record",
]
