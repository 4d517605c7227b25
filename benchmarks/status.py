"""What stands in a results folder: counts, failures, alarms. Reads records only."""

from collections import Counter
from typing import Any

from nsbench.benchmarks.records import RecordError, ResultsFolder, read_json


def cell_text(cell: dict[str, Any]) -> str:
    """A cell in words, from its plain data."""
    labels = cell.get("labels") or {}
    return (
        f"{labels.get('sampler', '?')} x {labels.get('augmentation', '?')}, "
        f"seed {cell.get('seed', '?')}"
    )


def read_status(folder: ResultsFolder) -> dict[str, Any]:
    """Counts by state, failures and skips with reasons, and alarms by kind.

    Args:
        folder: The results folder.

    Raises:
        RecordError: If it is no results folder.
    """
    if not folder.runs.is_dir() and not folder.matrix.is_file():
        raise RecordError(
            f"{folder.root} is no results folder: it has neither runs nor matrix.json"
        )
    records, unreadable = folder.records()
    ended = {record.key: record for _, record in records}
    try:
        planned = {c["key"]: c["cell"] for c in read_json(folder.matrix)["cells"]}
    except (RecordError, KeyError, TypeError) as error:
        planned = {}
        if folder.matrix.exists():
            unreadable.append(str(error))
    running = {
        paths.folder.name
        for paths in folder.folders()
        if paths.claim.exists() and not paths.record.exists()
    }
    counts = Counter(r.status for r in ended.values())
    pending = len(planned.keys() - ended.keys())
    state: dict[str, int] = {name: counts[name] for name in ("done", "failed", "skipped")}
    state["running"] = min(len(running), pending)
    state["pending"] = pending - state["running"]
    alarms: dict[str, list[str]] = {}
    examples: dict[str, str] = {}
    for record in ended.values():
        for alarm in record.alarms:
            alarms.setdefault(alarm["name"], []).append(cell_text(record.cell))
            examples.setdefault(alarm["name"], f"{cell_text(record.cell)}: {alarm.get('text', '')}")

    def reasons(status: str) -> list[dict[str, str]]:
        rows = [r for r in ended.values() if r.status == status]
        return [{"cell": cell_text(r.cell), "reason": r.reason} for r in rows]

    return {
        "folder": str(folder.root),
        "counts": state,
        "failed": reasons("failed"),
        "skipped": reasons("skipped"),
        "alarms": [
            {"alarm": name, "cells": len(cells), "example": examples[name]}
            for name, cells in sorted(alarms.items())
        ],
        "unreadable": unreadable,
    }
