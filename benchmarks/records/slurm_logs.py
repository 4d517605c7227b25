"""Logs of Slurm's tasks, and the cells that each task has. No torch, no Slurm here."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from nsbench.benchmarks.records.folder import ResultsFolder
from nsbench.benchmarks.records.json_file import RecordError, read_json


def logs(folder: ResultsFolder) -> Path:
    """Return where submitit keeps its files and the logs of tasks."""
    return folder.root / "slurm"


def submitted_path(folder: ResultsFolder) -> Path:
    """The file that says which task a cell was given to."""
    return logs(folder) / "submitted.json"


def submitted(folder: ResultsFolder) -> dict[str, str]:
    """Task of each cell that was ever submitted, by its key; empty if there is none."""
    found: Any = {}
    with suppress(RecordError):
        found = read_json(submitted_path(folder))
    if not isinstance(found, dict):
        return {}
    return {str(key): str(task) for key, task in found.items()}


def log_of(folder: ResultsFolder, task: str) -> Path:
    """Return what a task printed as errors."""
    return logs(folder) / f"{task}_0_log.err"
