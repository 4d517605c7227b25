"""Which cells rang an alarm: one table for leaderboard and report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.write import csv_text, markdown_text, records
from nsbench.benchmarks.files import write_atomically

COLUMNS = ("name", "sampler", "cells", "of", "text")


def alarm_table(results: Results) -> pd.DataFrame:
    """One row per alarm and sampler.

    Returns:
        `COLUMNS`: the alarm, the sampler, how many of its finished cells rang it, of how many, and
        what the first of them said. Empty if none rang.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    done: dict[str, int] = {}
    for cell, label in zip(results.loaded, results.cells["sampler"], strict=True):
        sampler = str(label)
        done[sampler] = done.get(sampler, 0) + (cell.status == "done")
        for alarm in cell.record.alarms if cell.record else ():
            if not isinstance(alarm, Mapping):
                continue
            name = str(alarm.get("name", "alarm"))
            entry = found.setdefault(
                (name, sampler), {"name": name, "sampler": sampler, "cells": 0, "text": ""}
            )
            entry["cells"] += 1
            entry["text"] = entry["text"] or str(alarm.get("text", ""))
    rows = [found[k] | {"of": done[k[1]]} for k in sorted(found)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def alarms_markdown(table: pd.DataFrame) -> str:
    """The table as a section in Markdown; nothing if no alarm rang."""
    if table.empty:
        return ""
    lines = ["## Alarms", "", "| alarm | sampler | cells | example |", "| --- | --- | --- | --- |"]
    for row in records(table):
        cells = [markdown_text(row[c]) for c in ("name", "sampler")]
        cells += [f"{row['cells']} of {row['of']}", markdown_text(row["text"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_alarms(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write an `alarm_table` as ``tables/alarms.csv`` and ``.md``, headings alone if none rang."""
    (out / "tables").mkdir(parents=True, exist_ok=True)
    files = {"alarms.csv": csv_text(table), "alarms.md": alarms_markdown(table) or "## Alarms\n"}
    for name, text in files.items():
        write_atomically(out / "tables" / name, text)
    return [out / "tables" / name for name in files]
