"""Difficulty by source, of trainings on several data sets: one row per method and source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.tables.text import markdown_lines, markdown_text, records, write_table

IDENTITY = ("data", "encoder", "sampler", "augmentation", "objective")
QUANTITIES = (
    *("loss", "positive_similarity", "chosen_similarity", "chosen_percentile", "violation"),
    *("effective_negatives", "chosen_count", "false_negative"),
)
LATE = 0.5
"""Share of a training after which steps count."""


def source_table(difficulty: pd.DataFrame) -> pd.DataFrame:
    """Return means by source over the late steps and all seeds.

    Args:
        difficulty: The long difficulty table; ``QUANTITY@NAME`` is of the source ``NAME``.

    Returns:
        Columns `IDENTITY`, ``source``, ``n_seeds`` and `QUANTITIES`, those that were measured.
        Empty where every training had one source.
    """
    columns = [*IDENTITY, "source", "n_seeds", *QUANTITIES]
    text = difficulty["quantity"].astype(str)
    part = difficulty[text.str.contains("@", regex=False)]
    if part.empty:
        return pd.DataFrame(columns=columns)
    names = part["quantity"].astype(str).str.partition("@")
    part = part.assign(quantity=names[0], source=names[2])
    part = part[part["quantity"].isin(QUANTITIES)].astype(dict.fromkeys(IDENTITY, "str"))
    late = part["step"] >= LATE * part.groupby("key", observed=True)["step"].transform("max")
    keys = [*IDENTITY, "source"]
    means = part[late].groupby([*keys, "quantity"])["mean"].mean().unstack("quantity")
    seeds = part.groupby(keys)["seed"].nunique().rename("n_seeds")
    table = means.join(seeds).reset_index()
    kept = [c for c in columns if c in table]
    return table[kept].sort_values(["data", "source", "sampler", "augmentation"], kind="stable")


def markdown(table: pd.DataFrame) -> str:
    """Return the table in Markdown, a section per data set and source."""
    lines = [
        "# Difficulty by source",
        "",
        "Means over the second half of the measured steps and over seeds; each batch is of one "
        "source. The columns are those of the difficulty table.",
    ]
    numbers = [q for q in QUANTITIES if q in table]
    for (data, source), rows in table.groupby(["data", "source"], sort=False):
        lines += ["", f"## {markdown_text(source)}", "", markdown_text(f"Of {data}."), ""]
        headings = ["sampler", "augmentation", *(n.replace("_", " ") for n in numbers), "seeds"]
        lines += markdown_lines(headings, [_cells(row, numbers) for row in records(rows)])
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any], numbers: list[str]) -> list[str]:
    values = ["" if pd.isna(row[n]) else f"{row[n]:.3f}" for n in numbers]
    names = [markdown_text(row["sampler"]), markdown_text(row["augmentation"])]
    return [*names, *values, f"{row['n_seeds']}"]


def write_sources(difficulty: pd.DataFrame, out: Path) -> list[Path]:
    """Write ``sources.csv`` and ``.md`` under ``tables``; nothing without several sources."""
    return write_table(out, "sources", source_table(difficulty), markdown)
