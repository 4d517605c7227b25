"""Alarms of cells: one table for leaderboard and report."""

from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.text import (
    csv_text,
    markdown_lines,
    markdown_text,
    records,
    write_tables,
)

COLUMNS = ("name", "sampler", "cells", "of", "text")


def alarm_table(results: Results) -> pd.DataFrame:
    """Return one row per alarm and sampler; empty if there was no alarm.

    Returns:
        `COLUMNS`: the alarm, the sampler, the number of its finished cells with the alarm, of how
        many, and the text of the first.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    done: dict[str, int] = {}
    for cell, label in zip(results.loaded, results.cells["sampler"], strict=True):
        sampler = str(label)
        done[sampler] = done.get(sampler, 0) + (cell.status == "done")
        for alarm in cell.record.alarms if cell.record and cell.status == "done" else ():
            name = alarm["name"]
            entry = found.setdefault(
                (name, sampler), {"name": name, "sampler": sampler, "cells": 0, "text": ""}
            )
            entry["cells"] += 1
            entry["text"] = entry["text"] or alarm.get("text", "")
    rows = [found[k] | {"of": done[k[1]]} for k in sorted(found)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def alarms_markdown(table: pd.DataFrame) -> str:
    """Return the table as a section in Markdown; empty if there was no alarm."""
    if table.empty:
        return ""
    rows = []
    for row in records(table):
        name, sampler, text = (markdown_text(row[c]) for c in ("name", "sampler", "text"))
        rows.append((name, sampler, f"{row['cells']} of {row['of']}", text))
    lines = markdown_lines(("alarm", "sampler", "cells", "example"), rows)
    return "\n".join(["## Alarms", "", *lines]) + "\n"


def write_alarms(table: pd.DataFrame, out: Path) -> list[Path]:
    """Write an `alarm_table` as ``tables/alarms.csv`` and ``.md``, headings alone if empty."""
    text = alarms_markdown(table) or "## Alarms\n"
    return write_tables(out, {"alarms.csv": csv_text(table), "alarms.md": text})
